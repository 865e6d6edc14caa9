// The network as a row of layers in data order, branches one under the other, from its own graph.
import { el } from "../dom.js";

const COLUMN = 72;
const ROW = 30;
const HEADING = 15;
const BOX = { width: 58, height: 24 };
const SHORT = { Convolution: "conv", InnerProduct: "dense", Pooling: "pool", Concat: "join", Eltwise: "sum", Softmax: "softmax", Input: "input" };

export function mount(root, page) {
  const scroller = el("div.scroller", { tabIndex: -1 });
  const words = el("p.caption");
  root.append(scroller, words);
  let drawn = null;
  let shown = null;

  return () => {
    const { model, state } = page;
    if (!model || (drawn === model && shown === state.layer)) return;
    shown = state.layer;
    if (drawn !== model) {
      drawn = model;
      draw(page, scroller);
    }
    for (const box of scroller.querySelectorAll("button")) {
      const chosen = box.dataset.layer === state.layer;
      if (chosen && box.getAttribute("aria-pressed") !== "true") reveal(scroller, box);
      box.setAttribute("aria-pressed", String(chosen));
      box.tabIndex = chosen ? 0 : -1;
    }
    const layer = page.layerNamed(state.layer);
    if (!layer) return;
    const size = layer.places[0] * layer.places[1] > 1 ? `, each ${layer.places[1]} × ${layer.places[0]} places` : "";
    const also = layer.also.length ? ` + ${layer.also.join(" + ")}` : "";
    words.replaceChildren(
      el("strong", {}, layer.name), ` ${layer.type}${also}, ${layer.channels} channel${layer.channels === 1 ? "" : "s"}${size}`,
      layer.relevance ? "" : "; above the scores, where relevance begins",
    );
  };
}

function draw(page, scroller) {
  const { layers } = page.model;
  const tallest = Math.max(...layers.map((layer) => layer.row)) + 1;
  const inColumn = new Map();
  for (const { column } of layers) inColumn.set(column, (inColumn.get(column) ?? 0) + 1);
  const blocks = new Map(); // first column of what shares the first part of its name
  for (const { name, column } of layers) {
    const block = name.includes("/") ? name.split("/")[0] : null;
    if (block) blocks.set(block, Math.min(column, blocks.get(block) ?? column));
  }
  const above = blocks.size ? HEADING : 0;
  const at = new Map();
  for (const layer of layers) {
    const free = (tallest - inColumn.get(layer.column)) / 2;
    at.set(layer.name, [layer.column * COLUMN + 4, (layer.row + free) * ROW + 3 + above]);
  }
  const width = (Math.max(...layers.map((layer) => layer.column)) + 1) * COLUMN;
  const height = tallest * ROW + 6 + above;
  const lines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  lines.setAttribute("width", width);
  lines.setAttribute("height", height);
  lines.setAttribute("aria-hidden", "true");
  const plane = el("div.plane", {}, lines);
  plane.style.width = `${width}px`;
  plane.style.height = `${height}px`;
  for (const layer of layers) {
    const [x, y] = at.get(layer.name);
    for (const source of layer.sources) lines.append(curve(...at.get(source), x, y));
    const short = shortName(layer);
    const size = `${layer.channels} × ${layer.places.join(" × ")}`;
    const box = el("button", {
      type: "button", "data-layer": layer.name, "aria-pressed": "false", tabIndex: -1,
      "aria-label": `${short === layer.name ? "" : `${short}: `}${layer.name}, ${layer.type}`,
      title: `${layer.name}: ${[layer.type, ...layer.also].join(" + ")}, ${size} (channels × height × width)`,
      onclick: () => page.set({ layer: layer.name }),
    }, short);
    box.classList.add(layer.type.toLowerCase());
    box.style.left = `${x}px`;
    box.style.top = `${y}px`;
    plane.append(box);
  }
  for (const [block, column] of blocks) {
    const heading = el("span.block", {}, block);
    heading.style.left = `${column * COLUMN + 4}px`;
    plane.append(heading);
  }
  scroller.replaceChildren(plane);
}

function curve(fromX, fromY, toX, toY) {
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const [startX, startY, endY] = [fromX + BOX.width, fromY + BOX.height / 2, toY + BOX.height / 2];
  const middle = (toX - startX) / 2;
  path.setAttribute("d", `M${startX} ${startY} C${startX + middle} ${startY} ${toX - middle} ${endY} ${toX} ${endY}`);
  return path;
}

/** Names as long as a box: the last part of a path, or the kind. */
function shortName(layer) {
  const last = layer.name.split("/").at(-1);
  if (layer.name.includes("/") && layer.type in SHORT) {
    const square = last.match(/\d+x\d+/)?.[0].replace("x", "×");
    return layer.type === "Convolution" && square ? square : SHORT[layer.type];
  }
  return last.length <= 8 ? last : `${last.slice(0, 7)}…`;
}

function reveal(scroller, box) {
  const wanted = box.offsetLeft - scroller.clientWidth / 2 + BOX.width / 2;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  scroller.scrollTo({ left: wanted, behavior: calm ? "auto" : "smooth" });
}
