// A pad to draw on, with mouse, finger or pen: white strokes on black, on top of the picture itself.
import { button, el } from "../dom.js";

const SIDE = 140; // pixels on the longer side

export class Pad {
  live = true;

  /** `surface`: where strokes are made; `input`: size of the network's input. */
  constructor(surface, input) {
    const scale = SIDE / Math.max(input.width, input.height);
    this.canvas = document.createElement("canvas");
    Object.assign(this.canvas, { width: Math.round(input.width * scale), height: Math.round(input.height * scale) });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.surface = surface;
    this.strokes = 0;
    this.clear();
    surface.classList.add("drawing");
    this.listeners = { pointerdown: (event) => this.begin(event), pointermove: (event) => this.move(event) };
    this.listeners.pointerup = this.listeners.pointercancel = () => (this.last = null);
    for (const [name, listener] of Object.entries(this.listeners)) surface.addEventListener(name, listener);
  }

  place(event) {
    const { box } = this;
    return [
      ((event.clientX - box.left) / box.width) * this.canvas.width,
      ((event.clientY - box.top) / box.height) * this.canvas.height,
    ];
  }

  begin(event) {
    event.preventDefault();
    this.surface.setPointerCapture(event.pointerId);
    this.box = this.surface.getBoundingClientRect(); // once a stroke: each time would lay out the page, which changes with every answer
    this.last = this.place(event);
    this.line(this.last, this.last);
  }

  move(event) {
    if (!this.last) return;
    const between = event.getCoalescedEvents?.() ?? []; // none where a program made the event
    for (const each of between.length ? between : [event]) {
      const next = this.place(each);
      this.line(this.last, next);
      this.last = next;
    }
  }

  line(from, to) {
    Object.assign(this.context, { strokeStyle: "#fff", lineWidth: SIDE / 12, lineCap: "round", lineJoin: "round" });
    this.context.beginPath();
    this.context.moveTo(...from);
    this.context.lineTo(to[0], to[1] + 0.01);
    this.context.stroke();
    this.strokes += 1;
  }

  clear() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.strokes += 1;
  }

  grab() {
    const { width, height } = this.canvas;
    return { drawable: this.canvas, width, height, mark: this.strokes, grey: true };
  }

  controls() {
    return el(
      "div.playing", {}, button("Clear", "Begin a new drawing", () => this.clear()),
      el("span.hint", {}, "Draw on the picture; the explanation follows the stroke."),
    );
  }

  close() {
    this.surface.classList.remove("drawing");
    for (const [name, listener] of Object.entries(this.listeners)) this.surface.removeEventListener(name, listener);
  }
}
