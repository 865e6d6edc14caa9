// The chosen channel enlarged, the pixels that spoke through it, and a backward view.
import { drawColours, drawMap, table } from "../colours.js";
import { button, el, mark, number, say, segments, shareOf, signed, wholeOf } from "../dom.js";
import { toggleLock } from "../keyboard.js";
import { METHOD_WORDS } from "./stage.js";

const METHODS = [
  ["gradient", "How the channel (or score) changes with each pixel"],
  ["gradient-input", "Gradient times the pixel itself"],
  ["deconvolution", "Zeiler and Fergus 2014: only positive signals go back"],
  ["guided", "Springenberg et al. 2015: only positive signals through firing units go back"],
  ["relevance", "What made the channel (or class) itself active, by LRP"],
];
const ORIGINS = [["channel", "from channel", "Start from the chosen channel's activation"], ["class", "from class", "Start from the explained class"]];

export function mount(root, page) {
  const heading = el("h3");
  const numbers = el("p.numbers");
  const fires = pane(page, "Activation", "channel");
  const speaks = pane(page, "Relevance", "channel");
  const through = pane(page, "Pixels that spoke through it", "through");
  const back = pane(page, "Backward view", "backward");
  const method = el("select", { title: "How to look backward (b)", "aria-label": "How to look backward" },
    ...METHODS.map(([value, title]) => el("option", { value, title }, METHOD_WORDS[value])));
  method.addEventListener("change", () => page.set({ method: method.value }));
  const origin = segments("Backward from", ORIGINS, (value) => page.set({ origin: value }));
  const lock = button("Lock", "Keep this channel as the start while others are looked at (d)", () => toggleLock(page), { "aria-pressed": "false" });
  const own = el("div.own", {}, numbers, el("div.panes", {}, fires.root, speaks.root), through.root, el("div", { id: "unit-sheet" }));
  root.append(heading, own, el("div.tools", {}, method, origin, lock), back.root);

  return (words) => {
    const { state, answer } = page;
    if (state.tab !== "channel") return;
    if (words) controls(state);
    const arrays = answer?.arrays ?? {};
    const layer = answer?.layer;
    const fits = layer && layer.name === state.layer && layer.channel === state.channel;
    if (state.channel !== null && fits) {
      const { map, gamma, boost, sign } = state;
      fires.draw(arrays["channel-activation"], table({ gamma, boost, activation: true }));
      speaks.draw(arrays["channel-relevance"], table({ map, gamma, boost, sign }));
      const spoke = answer.through?.channel === state.channel && arrays.through;
      through.draw(spoke, table({ map, gamma, boost, sign }));
      if (words) {
        const sum = arrays.sums?.values[state.channel];
        say(numbers, `${sum === undefined ? "" : `Relevance ${signed(sum)}, ${shareOf(sum, answer.score)} of ${wholeOf(answer)}. `}Highest activation ${number(arrays.peaks.values[state.channel])}.`);
        through.say(spoke ? `Pixels that spoke through it: ${signed(answer.through.sum)} of ${wholeOf(answer)}` : "Pixels that spoke through it");
      }
      through.root.hidden = !arrays["channel-relevance"] || page.layerNamed(state.layer)?.type === "Input";
    }
    back.root.classList.toggle("waiting", !arrays.backward);
    if (!arrays.backward && page.live) back.say("Backward view: choose a channel, or freeze the picture");
    if (arrays.backward) {
      back.draw(arrays.backward, table({ map: state.map, gamma: state.gamma, boost: state.boost }), answer.backward.colours && state);
      const from = answer.backward.of_class ? page.model.labels[answer.target] : `channel ${answer.backward.channel} of ${answer.backward.layer}`;
      back.say(`Backward from ${from}, ${METHOD_WORDS[answer.backward.method]}`);
    }
  };

  function controls(state) {
    method.value = state.method;
    origin.choose(state.channel === null && !state.locked ? "class" : state.origin);
    for (const each of origin.children) each.disabled = state.channel === null || state.locked !== null;
    mark(lock, "aria-pressed", state.locked !== null);
    lock.disabled = state.channel === null && state.locked === null;
    own.hidden = state.channel === null;
    say(heading, state.channel === null ? "No channel is chosen" : `Channel ${state.channel} of ${state.layer}`);
  }
}

/** A small picture that a click enlarges on the stage. */
function pane(page, words, stage) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  const caption = el("span.caption", {}, words);
  const root = button(canvas, "Show this on the large picture (z)", () => page.set({ stage: page.state.stage === stage ? "class" : stage }), { className: "pane" });
  root.append(caption);
  return {
    root,
    say: (text) => say(caption, text),
    draw: (entry, colours, asPicture) => {
      root.classList.toggle("waiting", !entry);
      if (!entry) return;
      const [height, width] = entry.shape.slice(-2);
      if (asPicture) drawColours(canvas, entry.values, width, height, asPicture);
      else drawMap(canvas, entry.values, width, height, colours);
      canvas.classList.toggle("pixelated", Math.max(width, height) < 100);
    },
  };
}
