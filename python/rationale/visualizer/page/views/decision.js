// The decision: the classes with their probabilities, or values where the network gives none, which of them is explained, and the sentence.
import { button, dress, el, mark, number, percent, say, shareOf, signed, wholeOf } from "../dom.js";

export function mount(root, page) {
  const heading = el("h2", {}, el("span.label"), el("span.probability"));
  const sentence = el("p.sentence", { hidden: true });
  const ofWord = el("p.hint.of-word", { hidden: true, "aria-live": "polite" });
  const otherwise = el("p.sentence.otherwise", { hidden: true });
  const borne = el("p.hint.borne", { hidden: true });
  const note = el("p.hint.note");
  const list = el("ol.classes");
  const any = el("input", { type: "text", list: "labels", placeholder: "Another class …", "aria-label": "Explain another class", title: "Type the name of any class, to explain it" });
  const labels = el("datalist", { id: "labels" });
  const score = el("span");
  const arrived = el("span");
  const sign = el("span");
  const absorbed = el("span.absorbed");
  const equation = el("p.equation", { title: "The score, where it came to lie: on the pixels, or in biases and stabilisers on the way" }, score, arrived, sign, absorbed);
  root.append(heading, sentence, ofWord, otherwise, borne, list, any, labels, note, equation);
  any.addEventListener("change", () => {
    const index = page.model.labels.indexOf(any.value);
    if (index >= 0) page.set({ target: index, against: null });
    any.value = "";
  });
  let filled = null;
  let shown = null; // which classes were spoken of

  return (words) => {
    const { answer, model, state } = page;
    const about = answer && [model.name, answer.best, answer.target, answer.against, JSON.stringify(page.word), answer.why_not?.counterfactual].join();
    if (!words && about === shown) return;
    shown = about;
    root.hidden = !answer;
    if (!answer) return;
    if (filled !== model) {
      filled = model;
      const many = model.labels.length > answer.classes.length;
      any.hidden = !many;
      labels.replaceChildren(...(many ? model.labels.map((label) => el("option", { value: label })) : []));
    }
    const best = answer.classes.find((each) => each.index === answer.best);
    say(heading.firstChild, model.labels[answer.best]);
    say(heading.lastChild, ` ${said(best)}`);
    sentence.hidden = !answer.sentence;
    spell(page, sentence);
    tell(page, ofWord);
    compare(answer.why_not, otherwise, borne);
    fill(page, list);
    const target = model.labels[answer.target];
    say(note, state.against !== null && answer.against !== null
      ? `Why ${target} rather than ${model.labels[answer.against]}: the heatmap shows what favours the one over the other.`
      : state.target !== null ? `The heatmap explains ${target}. Click it again to explain the predicted class.` : "");
    note.hidden = !note.textContent;
    const kept = answer.score - answer.arrived;
    say(score, `${wholeOf(answer)} = ${number(answer.score)} = `);
    say(arrived, `${number(answer.arrived)} on the pixels`);
    arrived.className = answer.arrived >= 0 ? "for" : "against";
    say(sign, kept >= 0 ? " + " : " − ");
    say(absorbed, `${number(Math.abs(kept))} kept on the way`);
  };
}

/** The sentence; a content word can be pointed at, tapped, or reached with Tab. */
function spell(page, sentence) {
  const { answer } = page;
  const text = answer.sentence ?? "";
  const words = (answer.words ?? []).map((word, step) => ({ ...word, step })).filter((word) => word.content);
  if (sentence.textContent !== text || sentence.children.length !== words.length) {
    let done = 0;
    const pieces = [];
    for (const { start, end, step } of words) {
      const word = button(text.slice(start, end), "Where in the picture this word comes from", () => page.pointAt(page.word?.kept && page.word.step === step ? null : { step, contrast: false, kept: true }), { className: "word", "data-step": step });
      const come = () => page.word?.kept || page.pointAt({ step, contrast: false, kept: false });
      const go = () => page.word?.kept || page.pointAt(null);
      for (const [event, does] of [["pointerenter", come], ["focus", come], ["pointerleave", go], ["blur", go]]) word.addEventListener(event, does);
      pieces.push(text.slice(done, start), word);
      done = end;
    }
    sentence.replaceChildren(...pieces, text.slice(done));
  }
  for (const word of sentence.children) {
    const shown = page.word?.step === Number(word.dataset.step);
    word.classList.toggle("shown", shown);
    mark(word, "aria-pressed", Boolean(shown && page.word.kept));
  }
}

/** Why not the class that it is contrasted with: said only if the picture bears it out. */
function compare(other, otherwise, borne) {
  otherwise.hidden = !other?.counterfactual;
  say(otherwise, other?.counterfactual ?? "");
  const held = (other?.differences ?? []).filter((each) => each.holds).map((each) => `${each.phrase}: ${signed(-each.fall)} if blurred away, ${signed(-(each.elsewhere ?? 0))} if as much elsewhere`);
  const text = !other ? "" : other.remark ?? `Checked on this picture: the margin of the scores changes by ${held.join("; ")}.`;
  borne.hidden = !text;
  say(borne, text);
}

const SHARES = { image: "picture", label: "class", words: "earlier words", biases: "biases", stabiliser: "stabiliser" };

/** Of the word that is pointed at: where its score came from, and what the picture has to do with it. */
function tell(page, place) {
  const { answer, word: pointed } = page;
  const own = pointed && answer.words?.[pointed.step];
  place.hidden = !own;
  if (!own) return;
  const word = pointed.contrast && own.contrast ? own.contrast : own;
  const shares = Object.entries(SHARES).map(([name, text]) => `${text} ${shareOf(word.shares[name], 1)}`).join(", ");
  const likely = word.against ? "" : ` Probability ${percent(word.probability)}; without the picture ${percent(word.probability - word.fall)}.`;
  const name = word.against ? `“${word.text}”, not “${word.against}”` : `“${word.text}”`;
  const others = own.contrast ? [button(word.against ? `“${own.text}” alone` : `Not “${own.contrast.against}”?`, "The word by itself, or against the one that came second", () => page.pointAt({ ...pointed, contrast: !pointed.contrast, kept: true }), { className: "instead" })] : [];
  const text = `${name}: of its score ${signed(word.score)}, ${shares}.${likely} `;
  if (place.firstChild?.textContent === text) return;
  place.replaceChildren(text, ...others);
}

/** The probability of a class as people read it, or its value. */
const said = ({ probability, value }) => (probability === undefined ? number(value) : percent(probability));

function fill(page, list) {
  const { answer, model } = page;
  const largest = Math.max(...answer.classes.map((each) => Math.abs(each.value ?? 0))) || 1;
  while (list.children.length < answer.classes.length) list.append(row(page));
  for (const [each, item] of [...list.children].entries()) {
    item.hidden = each >= answer.classes.length;
    if (item.hidden) continue;
    const { index, probability, value, score } = answer.classes[each];
    const label = model.labels[index];
    item.dataset.index = index;
    const [explain, rather] = item.querySelectorAll("button");
    item.classList.toggle("explained", index === answer.target);
    item.classList.toggle("opposed", index === answer.against);
    mark(explain, "aria-pressed", index === answer.target);
    mark(explain, "title", `Explain ${label}: score ${signed(score)}`);
    say(explain.querySelector(".what"), label);
    dress(explain.querySelector(".track span"), "--share", (probability ?? Math.abs(value) / largest).toFixed(3));
    say(explain.querySelector(".number"), said(answer.classes[each]));
    rather.hidden = index === answer.target;
    mark(rather, "aria-pressed", index === answer.against);
    mark(rather, "title", `Why ${model.labels[answer.target]} rather than ${label}?`);
    mark(rather, "aria-label", `vs ${label}: why ${model.labels[answer.target]} rather than it?`);
  }
}

function row(page) {
  const indexOf = (event) => Number(event.currentTarget.closest("li").dataset.index);
  const explain = button(el("span.what"), "", (event) => {
    const index = indexOf(event);
    page.set({ target: page.state.target === index ? null : index, against: null });
  });
  explain.append(el("span.track", {}, el("span")), el("span.number"));
  const rather = button("vs", "", (event) => {
    const index = indexOf(event);
    page.set({ target: page.answer.target, against: page.state.against === index ? null : index });
  }, { className: "rather" });
  return el("li", {}, explain, rather);
}
