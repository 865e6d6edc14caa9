// The picture as the network sees it, with the heatmap over it; what the crop leaves out, greyed; the examples.
import { drawBar, drawColours, drawMap, drawPicture, table } from "../colours.js";
import { button, dress, el, mark, number, say, segments, slider, wholeOf } from "../dom.js";

const SHOWS = [
  ["class", "Class", "The pixels that spoke for and against the explained class (z)"],
  ["channel", "Channel", "The chosen channel's own map, enlarged (z)"],
  ["through", "Through channel", "The pixels that spoke through the chosen channel (z)"],
  ["backward", "Backward", "The backward view that is chosen beside the channel (z)"],
];

export function mount(root, page) {
  const outside = el("canvas.outside", { "aria-hidden": "true" });
  const seen = el("canvas.seen", { role: "img" });
  const over = el("canvas.over", { "aria-hidden": "true" });
  const inside = el("div.inside", {}, seen, over);
  const picture = el("div.picture", {}, outside, inside);
  const shows = segments("What lies over the picture", SHOWS, (stage) => page.set({ stage }));
  const opacity = slider("Opacity", "How much the heatmap covers the picture", [0, 1, 0.01], (value) => page.set({ opacity: value }), (value) => `${Math.round(100 * value)} %`);
  const bar = el("canvas.ramp", { "aria-hidden": "true" });
  const ends = el("div.ends", {}, el("span"), el("span", {}, "0"), el("span"));
  const caption = el("p.caption");
  const playing = el("div.playing-place");
  const strip = el("div.strip", { role: "group", "aria-label": "Examples" });
  const speed = el("span.speed", { title: "Answers in a second; time from a frame to the screen" });
  root.append(shows, el("div.frame", {}, picture), el("div.barline", {}, bar, ends), caption, opacity, playing, strip, speed);
  let controlled = null;
  let listed = null;
  let barred = null; // colours of the bar

  return (words) => {
    if (words) controls();
    const { answer } = page;
    root.classList.toggle("waiting", !answer);
    if (!page.model) return;
    place(page, picture, inside, outside);
    if (answer) draw(answer, words);
  };

  function controls() {
    const { state, input } = page;
    shows.choose(state.stage);
    for (const each of shows.children) each.disabled = each.dataset.value !== "class" && each.dataset.value !== "backward" && state.channel === null;
    opacity.show(state.opacity);
    if (controlled !== input) {
      controlled = input;
      playing.replaceChildren(...(input?.controls ? [input.controls()] : []));
    }
    if (listed !== page.examples) {
      listed = page.examples;
      strip.replaceChildren(...listed.map((example, each) => exampleButton(page, example, each)));
      strip.hidden = !listed.length;
    }
    for (const [each, item] of [...strip.children].entries()) {
      const chosen = state.source === "example" && state.example === each;
      if (chosen && item.getAttribute("aria-pressed") !== "true") strip.scrollLeft = item.offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + 20;
      mark(item, "aria-pressed", chosen);
    }
  }

  function draw(answer, words) {
    const { state } = page;
    const { shape } = answer.arrays.view;
    const drawn = chosen(page);
    drawPicture(seen, answer.arrays.view.values, shape, drawn.pale * state.opacity);
    drawOver(page, over, drawn);
    dress(over, "opacity", state.opacity);
    inside.classList.toggle("pixelated", Math.max(...shape) < 100);
    say(caption, drawn.words);
    if (!words) return;
    mark(seen, "aria-label", `${drawn.words}. The picture as the network sees it, ${shape[1]} × ${shape[0]} pixels`);
    const colours = table({ ...look(state), sign: drawn.sign, activation: drawn.activation });
    if (barred !== colours) drawBar(bar, (barred = colours));
    const scale = drawn.entry ? drawn.entry.scale / state.boost : 0;
    say(ends.firstChild, `−${number(scale)}`);
    say(ends.children[1], drawn.unit || "0");
    say(ends.lastChild, `+${number(scale)}`);
    const times = page.rate.times.length;
    const late = page.rate.latency;
    const known = times > 2 && late;
    const told = known ? `${(times / 2).toFixed(0)} pictures/s, ${Math.round(late)} ms from frame to screen` : "measuring …"; // keeps its line
    say(speed, page.live ? told : "");
  }
}

const look = ({ map, gamma, boost }) => ({ map, gamma, boost });

/** Which map lies over the picture, and what to say of it. */
function chosen(page) {
  const { state, answer, model } = page;
  const label = model.labels[answer.target];
  const spoke = answer.against === null ? label : `${label} rather than ${model.labels[answer.against]}`;
  const arrays = answer.arrays;
  const unit = `of ${wholeOf(answer)} a pixel`;
  if (page.word && arrays.word && answer.word?.step === page.word.step && answer.word.contrast === page.word.contrast) {
    const { text, contrast } = answer.words[page.word.step];
    const said = page.word.contrast ? `“${text}”, not “${contrast.against}”` : `the word “${text}”`;
    return { entry: arrays.word, pale: 1, sign: state.sign, unit: "of the word’s score a pixel", words: `Red speaks for ${said}, blue against` };
  }
  if (state.stage === "through" && arrays.through) {
    return { entry: arrays.through, pale: 1, sign: state.sign, unit, words: `What spoke for (red) and against (blue) ${spoke} through channel ${answer.through.channel}` };
  }
  if (state.stage === "channel" && arrays["channel-activation"]) {
    const relevance = state.show !== "activation" && arrays["channel-relevance"];
    const what = relevance ? `Relevance for ${spoke}` : "Activation";
    return { entry: relevance || arrays["channel-activation"], pale: 1, sign: relevance ? state.sign : "both", activation: !relevance, whole: true, unit: relevance ? `of ${wholeOf(answer)} a place` : "", words: `${what} in channel ${answer.layer.channel} of ${answer.layer.name}` };
  }
  if (state.stage === "backward" && arrays.backward) {
    const from = answer.backward.of_class ? label : `channel ${answer.backward.channel} of ${answer.backward.layer}`;
    return { entry: arrays.backward, pale: 1, sign: "both", whole: answer.backward.colours, colours: answer.backward.colours, unit: "", words: `Backward from ${from}: ${METHOD_WORDS[answer.backward.method]}` };
  }
  return { entry: arrays.heatmap, pale: 1, sign: state.sign, unit, words: `Red speaks for ${spoke}, blue against` };
}

export const METHOD_WORDS = {
  gradient: "gradient",
  "gradient-input": "gradient × input",
  deconvolution: "deconvnet",
  guided: "guided gradient",
  relevance: "relevance (LRP)",
};

function drawOver(page, canvas, { entry, sign, activation, whole, colours }) {
  if (!entry) return;
  const { state } = page;
  if (colours) {
    const [, height, width] = entry.shape;
    drawColours(canvas, entry.values, width, height, state);
    return;
  }
  const [height, width] = entry.shape;
  drawMap(canvas, entry.values, width, height, table({ ...look(state), sign, activation, cover: !whole }));
}

/** Fits the picture into its frame, whole, with what the network does not see greyed. */
function place(page, picture, inside, outside) {
  const { model, answer, shown } = page;
  const crop = answer?.crop ?? [0, 0, 1, 1];
  const cropped = crop[2] < 0.999 || crop[3] < 0.999;
  const ratio = cropped ? answer.size.width / answer.size.height : model.input.width / model.input.height;
  dress(picture, "--ratio", ratio);
  for (const [each, side] of ["left", "top", "width", "height"].entries()) dress(inside, side, `${Number((100 * crop[each]).toFixed(3))}%`);
  outside.hidden = !(cropped && shown?.drawable);
  picture.classList.toggle("cropped", !outside.hidden);
  picture.title = cropped ? "The network sees what the frame encloses; what lies outside, in grey, is cut off before" : "";
  if (outside.hidden) return;
  const width = Math.min(480, shown.width);
  const height = Math.round((width * shown.height) / shown.width);
  if (outside.width !== width || outside.height !== height) Object.assign(outside, { width, height });
  const context = outside.getContext("2d");
  context.setTransform(page.state.mirror ? -1 : 1, 0, 0, 1, page.state.mirror ? width : 0, 0);
  context.drawImage(shown.drawable, 0, 0, width, height);
}

function exampleButton(page, example, each) {
  const path = `api/models/${encodeURIComponent(page.state.model)}/examples/${each}`;
  const words = `Example ${example.name}, truly ${example.label}`;
  return button(el("img", { src: path, alt: words, loading: "lazy" }), words, () => page.useExample(each), { "aria-pressed": "false" });
}
