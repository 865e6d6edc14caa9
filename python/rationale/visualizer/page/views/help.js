// The help: words of this page, and its keys.
import { button, el } from "../dom.js";
import { KEYS } from "../keyboard.js";

const WORDS = [
  ["Heatmap", "Which pixels spoke for (red) and against (blue) the class that is explained. Its numbers are shares of the score f(x) before the softmax; they add up to it, but for what the account lists."],
  ["Channel", "One of a layer's detectors. Its tile shows where it fires (grey) and what it passes on of the score (red, blue)."],
  ["vs", "Explains why the chosen class rather than that one."],
  ["Backward view", "Starts from a channel or class and asks which pixels it depends on, by the method of your choice."],
];

export function mount(root) {
  root.append(
    el("h2", {}, "See a network think"),
    el("p", {}, "Point the camera at something, drop a photograph or a video, or draw. Left: what the network sees and decides. Above: its layers; choose one. Below: its channels; choose one to see what spoke through it."),
    el("h3", {}, "Words"),
    el("dl", {}, ...WORDS.flatMap(([word, meaning]) => [el("dt", {}, word), el("dd", {}, meaning)])),
    el("h3", {}, "Keys"),
    el("dl.keys", {}, ...KEYS.flatMap(([key, what]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)])),
    button("Close", "Back to the page (Esc)", () => root.close()),
  );
  document.getElementById("help-button").addEventListener("click", () => root.showModal());
  return () => {};
}
