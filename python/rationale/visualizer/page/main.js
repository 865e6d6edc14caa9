// Wires the page: state, inputs, connection and views. A new view is one module with `mount(root, page)`.
import { Connection } from "./connection.js";
import { button, el, mark, say } from "./dom.js";
import { Camera } from "./inputs/camera.js";
import { Pad } from "./inputs/pad.js";
import { Photograph, listen } from "./inputs/photograph.js";
import { Video } from "./inputs/video.js";
import { listenToKeys } from "./keyboard.js";
import { encode } from "./encode.js";
import { DEFAULTS, fromHash, toHash } from "./state.js";
import { takeToken } from "./token.js";
import * as account from "./views/account.js";
import * as channel from "./views/channel.js";
import * as decision from "./views/decision.js";
import * as display from "./views/display.js";
import * as help from "./views/help.js";
import * as network from "./views/network.js";
import * as stage from "./views/stage.js";
import * as tabs from "./views/tabs.js";
import * as tiles from "./views/tiles.js";
import * as unit from "./views/unit.js";

const VIEWS = { stage, decision, network, tiles, close: tabs, channel, account, "unit-sheet": unit, display, help };
const CONCERNS_SERVER = ["target", "against", "composite", "layer", "channel", "sort", "sign", "least", "count"];
CONCERNS_SERVER.push("method", "origin", "locked", "stage");
const SOON = 30; // milliseconds that a frame takes to the worker
const RETELL = 200; // milliseconds between new words and numbers while pictures move: nobody reads faster, and words cost most
const AHEAD = 2; // frames under way: one is computed while the next one travels

class Page {
  constructor() {
    this.state = { ...DEFAULTS };
    this.model = null; // as the server describes it
    this.models = [];
    this.composites = [];
    this.examples = [];
    this.input = null;
    this.frozen = false;
    this.word = null; // of the sentence, that is pointed at: { step, contrast, kept }
    this.answer = null;
    this.order = null; // of tiles, while pictures move
    this.tiled = null; // model and layer whose tiles are shown
    this.entering = false; // a key went down to tiles that have not come yet
    this.asked = 0;
    this.rate = { times: [], latency: null };
    this.sentAt = new Map();
    this.updates = []; // of the views; each is told whether words and numbers are due too, or only what is drawn
    this.told = -Infinity; // when they were due last
  }

  // ---- state ----

  /** Changes what is shown; asks the server only if it must. */
  set(changes) {
    const before = { ...this.state };
    Object.assign(this.state, changes);
    const differs = (key) => before[key] !== this.state[key];
    if (differs("layer") && !("channel" in changes)) this.state.channel = null;
    if (["layer", "sort", "sign", "least", "count"].some(differs)) this.order = null;
    this.told = -Infinity;
    this.remember();
    if (CONCERNS_SERVER.some(differs)) this.ask();
    if (differs("mirror")) this.resend();
    this.render();
  }

  /** Shows where a word of the sentence comes from; null for none. */
  pointAt(word) {
    this.word = word;
    this.told = -Infinity;
    const { answer } = this;
    const there = answer?.word && word && answer.word.step === word.step && answer.word.contrast === word.contrast;
    if (word && !there && !this.live) this.connection.ask(this.question(true));
    this.render();
  }

  remember() {
    const hash = toHash(this.state);
    if (location.hash !== hash) history.replaceState(null, "", hash);
  }

  render() {
    if (this.rendering) return;
    this.rendering = requestAnimationFrame(() => {
      this.rendering = 0;
      const words = this.wordsAreDue();
      for (const update of this.updates) update(words);
      this.note(this.answer?.frame);
    });
  }

  /** Whether words and numbers are to be renewed; where not yet, they will be. */
  wordsAreDue() {
    const left = this.live ? this.told + RETELL - performance.now() : 0;
    if (left > 0) {
      this.later ||= setTimeout(() => this.render(), left);
      return false;
    }
    clearTimeout(this.later);
    this.later = 0;
    this.told = performance.now();
    return true;
  }

  /** Remembers, and tells who listens, how long it took from a frame to the screen. */
  note(frame) {
    const sent = this.sentAt.get(frame);
    if (sent === undefined) return;
    this.rate.latency = performance.now() - sent;
    for (const number of this.sentAt.keys()) if (number <= frame) this.sentAt.delete(number);
    dispatchEvent(new CustomEvent("shown", { detail: { frame, milliseconds: this.rate.latency } }));
  }

  layerNamed(name) {
    return this.model?.layers.find((layer) => layer.name === name) ?? null;
  }

  /** Whether the tiles that are shown are the chosen layer's, not still those of the layer before. */
  get tilesHaveCome() {
    return this.tiled === `${this.state.model}/${this.state.layer}`;
  }

  get live() {
    return Boolean(this.input?.live) && !this.frozen;
  }

  // ---- questions ----

  question(quick) {
    const { state } = this;
    const still = !this.live;
    const closer = !quick && state.channel !== null;
    const origin = this.backwardOrigin();
    const wantsBackward = !quick && origin && (still || state.channel !== null || state.stage === "backward");
    this.asked += 1;
    return {
      type: "ask",
      number: this.asked,
      model: state.model,
      target: state.target,
      against: state.against,
      composite: state.composite,
      layer: state.layer,
      channel: state.channel,
      tiles: { sort: state.sort, sign: state.sign, least: state.least, count: state.count, channels: still ? null : this.order },
      through: closer,
      backward: wantsBackward ? { method: state.method, ...origin } : null,
      live: !still,
      sentence: still && !quick,
      word: still && this.word ? { step: this.word.step, contrast: this.word.contrast } : null,
    };
  }

  /** Layer and channel that the backward view starts from; {} for the class; null where nothing is chosen. */
  backwardOrigin() {
    const { locked, origin, layer, channel: chosen } = this.state;
    if (locked) {
      const at = locked.lastIndexOf(":");
      return { layer: locked.slice(0, at), channel: Number(locked.slice(at + 1)) };
    }
    if (origin === "class" || chosen === null) return {};
    const numbers = this.layerNamed(layer);
    return numbers && numbers.type !== "Input" ? { layer, channel: chosen } : {};
  }

  /** Asks about the picture that the server has; of still ones first what is quick, then the rest. */
  ask() {
    if (!this.model || !this.connection?.ready || this.state.model !== this.model.name) return;
    this.rest = !this.live;
    this.connection.ask(this.question(this.rest));
  }

  answered(answer) {
    if (answer.model !== this.model?.name) return;
    const old = this.answer;
    const kept = old && old.frame === answer.frame && old.target === answer.target && old.against === answer.against;
    if (kept) this.keepFrom(old, answer);
    else this.word = null; // the sentence it stood in is gone
    this.answer = answer;
    this.answeredAt = performance.now();
    this.rate.times = [...this.rate.times.filter((time) => time > performance.now() - 2000), performance.now()];
    if (answer.number === this.asked && this.rest) {
      this.rest = false;
      this.connection.ask(this.question(false));
    }
    this.hush("failed");
    this.render();
    this.pump();
  }

  /** What a quick answer lacks and the one before it, about the same picture, had, if it is still what is wanted. */
  keepFrom(old, answer) {
    const { state } = this;
    const origin = this.backwardOrigin();
    const wanted = {
      through: () => old.layer?.name === state.layer && old.through.channel === state.channel,
      backward: () => {
        const { method, layer, channel, of_class } = old.backward;
        return method === state.method && (origin.layer ? !of_class && layer === origin.layer && channel === origin.channel : of_class);
      },
      sentence: () => true,
      words: () => true,
      why_not: () => true,
      word: () => old.word && this.word?.step === old.word.step && this.word.contrast === old.word.contrast,
    };
    const carry = (part, array) => {
      if (!(part in answer) && part in old && wanted[part]()) {
        answer[part] = old[part];
        if (array in old.arrays) answer.arrays[array] = old.arrays[array];
      }
    };
    carry("through", "through");
    carry("backward", "backward");
    carry("sentence", "sentence");
    carry("words", "words");
    carry("why_not", "why_not");
    carry("word", "word");
  }

  // ---- inputs ----

  /** Takes an input in the place of the one before. */
  async use(kind, open) {
    this.say("");
    try {
      const input = await open();
      this.input?.close();
      this.input = input;
    } catch (error) {
      this.say(error.message, "failed");
      return false;
    }
    this.frozen = false;
    this.order = null;
    this.lastMark = undefined;
    this.set({ source: kind });
    this.resend();
    return true;
  }

  useFile(file) {
    if (file.type.startsWith("video/")) return this.use("video", () => Video.open(file));
    return this.use("photograph", () => Photograph.open(file));
  }

  useCamera() {
    if (this.state.source === "camera" && this.input) return this.useExample(this.state.example);
    return this.use("camera", () => Camera.open());
  }

  usePad() {
    return this.use("pad", async () => new Pad(document.querySelector("#stage .picture"), this.model.input));
  }

  async useExample(which) {
    const count = this.examples.length;
    if (!count) return false;
    this.state.example = Math.min(which, count - 1);
    const path = `api/models/${encodeURIComponent(this.state.model)}/examples/${this.state.example}`;
    return this.use("example", async () => Photograph.open(await (await fetch(path)).blob()));
  }

  freeze() {
    if (!this.input?.live) return;
    this.frozen = !this.frozen;
    this.ask();
    this.render();
    this.pump();
  }

  /** Sends the present picture again: after a reconnection, or where it is to be mirrored. */
  async resend() {
    if (!this.input || !this.connection?.ready || !this.model) return;
    await this.sendFrame(this.input.grab());
    this.ask();
    this.pump();
  }

  async sendFrame(grabbed) {
    if (!grabbed) return;
    this.shown = grabbed;
    const packed = await encode(grabbed, this.model.input, this.state.mirror);
    this.sentAt.set(this.connection.number + 1, performance.now());
    this.connection.send(...packed);
  }

  /** Sends new frames of a moving picture, as many as the server answers. */
  async pump() {
    if (this.pumping) return;
    this.pumping = true;
    while (this.live && this.connection?.ready && this.model && this.connection.inFlight < AHEAD) {
      await this.untilDue();
      const grabbed = this.input.grab();
      if (!grabbed || grabbed.mark === this.lastMark) {
        await new Promise(requestAnimationFrame);
        continue;
      }
      this.lastMark = grabbed.mark;
      await this.sendFrame(grabbed);
    }
    this.pumping = false;
  }

  /** Waits, with a frame under way, until the worker will soon be free: a frame that waits there only grows old. */
  async untilDue() {
    if (!this.connection.inFlight || !this.answer) return;
    const left = this.answeredAt + this.answer.milliseconds - SOON - performance.now();
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
  }

  // ---- models ----

  async useModel(name) {
    this.say(`Loading ${name} …`, "loading");
    const reply = await fetch(`api/models/${encodeURIComponent(name)}`);
    const found = await reply.json();
    if (!reply.ok) {
      this.say(found.error, "failed");
      return;
    }
    this.hush("loading");
    const changed = this.model && this.model.name !== name;
    this.model = found;
    this.answer = null;
    const fresh = changed ? { target: null, against: null, channel: null, layer: null, locked: null, composite: null } : {};
    Object.assign(this.state, fresh, { model: name });
    if (!this.layerNamed(this.state.layer)) this.state.layer = this.firstLayer();
    for (const key of ["target", "against"]) if (this.state[key] >= found.labels.length) this.state[key] = null;
    this.examples = await (await fetch(`api/models/${encodeURIComponent(name)}/examples`)).json();
    const own = ["camera", "video", "photograph"].includes(this.state.source); // stays when the model changes
    if (this.input && own) await this.resend();
    else await this.begin();
    this.remember();
    this.render();
  }

  /** The topmost layer that keeps places and is not the map of the classes themselves. */
  firstLayer() {
    const keeps = this.model.layers.filter((layer) => layer.relevance && layer.places[0] * layer.places[1] > 1);
    const own = keeps.filter((layer) => layer.type === "Convolution" && layer.channels !== this.model.labels.length);
    return (own.at(-1) ?? keeps.at(-1) ?? this.model.layers.at(-1)).name;
  }

  /** The input that the address names, as far as a page can open it by itself. */
  async begin() {
    const { source } = this.state;
    if (source === "camera" && (await this.useCamera())) return;
    if (source === "pad" && this.model.input.channels === 1 && (await this.usePad())) return;
    if (!(await this.useExample(this.state.example))) this.say("Drop a picture here, paste one, or open a file.", "failed");
  }

  // ---- words ----

  /** One line at the bottom; `kind` lets it be taken back. */
  say(text, kind = "told") {
    this.saying = text ? kind : null;
    const place = document.getElementById("message");
    say(place, text);
    place.className = text ? kind : "";
    clearTimeout(this.silence);
    if (kind === "told" && text) this.silence = setTimeout(() => this.say(""), 6000);
  }

  hush(kind) {
    if (this.saying === kind) this.say("");
  }
}

function mountInputs(page) {
  const file = el("input", { type: "file", accept: "image/*,video/*", hidden: true, "aria-label": "Picture or video file" });
  file.addEventListener("change", () => {
    if (file.files[0]) page.useFile(file.files[0]);
    file.value = "";
  });
  const open = button("Open…", "A photograph or a video file; dropping and pasting do too", () => file.click());
  const camera = button("Camera", "Look through this device's camera (c)", () => page.useCamera(), { "aria-pressed": "false" });
  const pad = button("Draw", "Draw with mouse or finger; for models that see one channel", () => page.usePad(), { "aria-pressed": "false" });
  document.getElementById("inputs").append(open, camera, pad, file);
  const freeze = button("Freeze", "Hold this picture (f)", () => page.freeze(), { "aria-pressed": "false" });
  const mirror = button("Mirror", "Left and right exchanged, as in a mirror (m)", () => page.set({ mirror: !page.state.mirror }), { "aria-pressed": "false" });
  document.getElementById("moving").append(freeze, mirror);
  const select = document.getElementById("model");
  select.addEventListener("change", () => page.useModel(select.value));
  listen((dropped) => page.useFile(dropped));
  return (words) => {
    if (!words) return;
    mark(camera, "aria-pressed", page.state.source === "camera");
    mark(pad, "aria-pressed", page.state.source === "pad");
    pad.hidden = page.model?.input.channels !== 1;
    freeze.hidden = !page.input?.live;
    mark(freeze, "aria-pressed", page.frozen);
    mark(mirror, "aria-pressed", page.state.mirror);
    if (select.options.length !== page.models.length) {
      select.replaceChildren(...page.models.map((name) => el("option", { value: name }, name)));
    }
    select.value = page.state.model ?? "";
  };
}

async function start() {
  const page = new Page();
  await takeToken();
  page.state = fromHash(location.hash);
  const offered = await (await fetch("api/models")).json();
  page.models = offered.models;
  page.composites = offered.composites;
  page.updates.push(mountInputs(page));
  for (const [name, view] of Object.entries(VIEWS)) page.updates.push(view.mount(document.getElementById(name), page));
  listenToKeys(page);
  let lost = false;
  page.connection = new Connection({
    opened: () => {
      page.hush("lost");
      if (lost) page.say("The server is back.");
      lost = false;
      page.sentAt.clear();
      page.lastMark = undefined;
      page.resend();
    },
    closed: (event) => {
      lost = true;
      page.say(event.reason || "The server does not answer; trying again …", "lost");
    },
    answered: (answer) => page.answered(answer),
    failed: ({ text }) => {
      page.say(text, "failed");
      page.pump();
    },
    noticed: (text) => page.say(text),
  });
  addEventListener("hashchange", async () => {
    const wanted = fromHash(location.hash);
    const { model, source, example } = page.state;
    page.state = { ...wanted, model: wanted.model ?? model };
    if (page.state.model !== model) {
      page.state.model = model;
      await page.useModel(wanted.model);
    } else if (wanted.source === "example" && (source !== "example" || wanted.example !== example)) {
      await page.useExample(wanted.example);
    }
    page.order = null;
    page.ask();
    page.render();
  });
  const first = page.models.includes(page.state.model) ? page.state.model : page.models[0];
  await page.useModel(first);
}

start().catch((error) => {
  document.getElementById("message").textContent = `The page could not start: ${error.message}`;
});
