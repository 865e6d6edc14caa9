// The chosen layer, one tile a channel: activation, relevance or both; sorted and filtered by either.
import { table } from "../colours.js";
import { button, dress, el, mark, number, say, segments, shareOf, signed, slider, wholeOf } from "../dom.js";
import { choose } from "../keyboard.js";
import { Sheet } from "./sheet.js";

const SHOW = [["activation", "Activation", "How strongly each channel fires, and where"], ["relevance", "Relevance", "What each channel passes on of the score: red for, blue against"], ["both", "Both", "Activation left, relevance right"]];
const SORT = [["relevance", "by relevance", "The most relevant channel first, for or against"], ["activation", "by activation", "The channel that fires most first"], ["number", "by number", "In the network's own order"]];
const SIGN = [["both", "all", "Channels that speak for and against"], ["for", "for", "Only channels, and pixels, that speak for"], ["against", "against", "Only channels, and pixels, that speak against"]];
const RESORT = 3000; // milliseconds between new orders while pictures move, so that tiles do not hop about
const MEMORY = 0.85; // of the running mean that orders moving pictures

export function mount(root, page) {
  const show = segments("Tiles show", SHOW, (value) => page.set({ show: value }));
  const sort = picker("Order", "Order of the channels", SORT, (value) => page.set({ sort: value }));
  const sign = picker("Sign", "Which sign counts", SIGN, (value) => page.set({ sign: value }));
  const least = slider("At least", "Fold away channels below this share of the strongest", [0, 0.5, 0.01], (value) => page.set({ least: value }), (value) => `${Math.round(100 * value)} %`);
  const grid = el("div.grid", { role: "group", "aria-label": "Channels" });
  const scroller = el("div.rolls", {}, grid);
  const sheet = new Sheet(scroller, grid);
  const rest = el("p.hint");
  const more = button("More", "Show more channels", () => page.set({ count: Math.min(1024, page.state.count * 2) }));
  root.append(el("div.tools", {}, show, sort, sign, least), scroller, el("div.foot", {}, rest, more));
  let filled = null; // channels of the tiles
  const running = { layer: null, values: null, at: 0 };

  return (words) => {
    const { state, answer } = page;
    if (words) {
      show.choose(state.show);
      sort.choose(state.sort);
      sign.choose(state.sign);
      least.show(state.least);
      root.classList.toggle("no-labels", !state.labels);
    }
    const layer = answer?.layer;
    if (!layer || layer.name !== state.layer) return;
    keepOrder(page, layer, running);
    const tiles = [state.model, layer.name, state.channel, layer.shown].join();
    if (words || filled !== tiles) fill(page, grid, layer);
    filled = tiles;
    showMaps(page, grid, sheet, layer);
    page.tiled = `${state.model}/${layer.name}`;
    if (page.entering && layer.shown.length) {
      page.entering = false;
      choose(page, grid.firstElementChild);
    }
    if (!words) return;
    const hidden = layer.channels - layer.silent - layer.shown.length;
    say(rest, [
      `${layer.shown.length} of ${layer.channels} channels`,
      layer.silent ? `${layer.silent} empty` : "",
      hidden > 0 ? `${hidden} not shown` : "",
    ].filter(Boolean).join(" · "));
    more.hidden = !(hidden > 0 && layer.shown.length >= state.count);
  };
}

function picker(label, title, choices, onchoose) {
  const select = el("select", { title, "aria-label": title }, ...choices.map(([value, text, tip]) => el("option", { value, title: tip }, text)));
  select.addEventListener("change", () => onchoose(select.value));
  const row = el("label.pick", { title }, el("span", {}, label), select);
  row.choose = (value) => (select.value = value);
  return row;
}

/** While pictures move, the order follows a running mean, and changes every few seconds only. */
function keepOrder(page, layer, running) {
  if (!page.live) {
    page.order = null;
    running.layer = null;
    return;
  }
  const sums = page.answer.arrays.sums?.values;
  const now = page.state.sort === "activation" || !sums ? page.answer.arrays.peaks.values : sums;
  if (running.layer !== layer.name || running.values.length !== now.length) {
    Object.assign(running, { layer: layer.name, values: Float32Array.from(now), at: performance.now() });
    page.order ??= layer.shown;
    return;
  }
  for (let each = 0; each < now.length; each += 1) running.values[each] = MEMORY * running.values[each] + (1 - MEMORY) * now[each];
  if (page.order && performance.now() - running.at < RESORT) return;
  running.at = performance.now();
  page.order = ordered(page.state, running.values);
  page.connection.ask(page.question(false));
}

function ordered({ sort, sign, least, count }, values) {
  const most = Math.max(...values.map(Math.abs));
  const fits = [...values.keys()].filter((each) => {
    const value = values[each];
    if (value === 0 || Math.abs(value) < least * most) return false;
    return sort === "activation" || sign === "both" || (sign === "for" ? value > 0 : value < 0);
  });
  if (sort !== "number") fits.sort((one, other) => (sort === "activation" ? values[other] - values[one] : Math.abs(values[other]) - Math.abs(values[one])));
  return fits.slice(0, count);
}

function fill(page, grid, layer) {
  const { state, answer } = page;
  const { peaks, sums, relevances } = answer.arrays;
  const both = state.show === "both" && relevances;
  const wide = layer.width / layer.height;
  dress(grid, "--shape", Math.max(0.5, Math.min(2.5, wide)));
  grid.classList.toggle("both", Boolean(both));
  while (grid.children.length < layer.shown.length) grid.append(tile(page));
  const strengths = state.show === "activation" || !sums ? peaks.values : sums.values; // what the numbers and bars tell
  const strongest = Math.max(...strengths.map(Math.abs));
  for (const [each, item] of [...grid.children].entries()) {
    item.hidden = each >= layer.shown.length;
    if (item.hidden) continue;
    const channel = layer.shown[each];
    item.dataset.channel = channel;
    const chosen = channel === state.channel;
    mark(item, "aria-pressed", chosen);
    item.tabIndex = chosen || (state.channel === null && each === 0) ? 0 : -1;
    const [fires, speaks] = item.querySelectorAll(".map");
    fires.hidden = state.show === "relevance" && Boolean(relevances);
    speaks.hidden = !relevances || state.show === "activation";
    const sum = sums?.values[channel];
    const bar = item.querySelector(".bar span");
    const strength = strengths[channel];
    const activation = strengths === peaks.values;
    bar.className = activation ? "fires" : strength >= 0 ? "for" : "against";
    dress(bar, "--share", strongest ? (Math.abs(strength) / strongest).toFixed(3) : 0);
    const value = activation ? number(strength, 2) : signed(strength, 2);
    const words = sums
      ? `Channel ${channel}: relevance ${signed(sum)}, ${shareOf(sum, answer.score)} of ${wholeOf(answer)}; highest activation ${number(peaks.values[channel])}`
      : `Channel ${channel}: highest activation ${number(peaks.values[channel])}`;
    mark(item, "title", words);
    say(item.querySelector(".unit"), `#${channel}`);
    say(item.querySelector(".value"), value);
  }
}

function showMaps(page, grid, sheet, layer) {
  const { show, map, gamma, boost, sign, labels } = page.state;
  const { activations, relevances } = page.answer.arrays;
  const fires = show !== "relevance" || !relevances;
  const speaks = show !== "activation" && relevances;
  const arrangement = [layer.shown.length, fires, Boolean(speaks), labels, grid.style.getPropertyValue("--shape")].join();
  sheet.show([
    fires ? { maps: activations, colours: table({ gamma, boost, activation: true }) } : null,
    speaks ? { maps: relevances, colours: table({ map, gamma, boost, sign }) } : null,
  ], arrangement);
}

function tile(page) {
  return el("button.tile", {
    type: "button",
    onclick: (event) => {
      if (!page.tilesHaveCome) return; // still those of another layer
      const channel = Number(event.currentTarget.dataset.channel);
      page.set({ channel: page.state.channel === channel ? null : channel, tab: "channel" });
    },
  },
  el("span.maps", { "aria-hidden": "true" }, el("span.map"), el("span.map")),
  el("span.text", {}, el("span.unit"), " ", el("span.value")),
  el("span.bar", { "aria-hidden": "true" }, el("span")));
}
