// Keys, much as in the Deep Visualization Toolbox.

const METHODS = ["gradient", "gradient-input", "deconvolution", "guided", "relevance"];
const STAGES = ["class", "channel", "through", "backward"];
const MOVES = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  h: [-1, 0], l: [1, 0], k: [0, -1], j: [0, 1],
};

const next = (list, value, by = 1) => list[(list.indexOf(value) + by + list.length) % list.length];

/** What each key does, for the help, in the order in which it is shown. */
export const KEYS = [
  ["← → or h l", "the layer, or the channel, before and after"],
  ["↓ ↑ or j k", "down into the channels, up to the layers; rows of channels"],
  ["z", "what the large picture shows: class, channel, through the channel, backward"],
  ["b", "the next way of looking backward"],
  ["d", "lock where the backward view starts, or let it go"],
  ["s", "what the chosen channel has learnt: shown or not"],
  ["f", "freeze a moving picture"],
  ["c", "camera on and off"],
  ["m", "mirror"],
  ["space", "play and pause a video"],
  ["Esc", "let the channel go"],
  ["? or h", "this help (h where it does not move)"],
];

export function listenToKeys(page) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { target } = event;
    if (target.matches("select, textarea, input:not([type=range])")) return;
    const region = target.closest("#network, #tiles")?.id;
    if (target.matches("input[type=range], [role=tab]") && event.key.startsWith("Arrow")) return;
    if (event.key in MOVES && (event.key !== "h" || region)) move(page, region, ...MOVES[event.key]);
    else if (event.key in ACTIONS) {
      if (event.key === " " && (target.matches("button, summary") || !page.input?.video)) return;
      ACTIONS[event.key](page);
    } else return;
    event.preventDefault();
  });
}

const ACTIONS = {
  z: (page) => page.set({ stage: next(STAGES.slice(0, page.state.channel === null ? 1 : 4), page.state.stage) }),
  b: (page) => page.set({ method: next(METHODS, page.state.method) }),
  d: (page) => toggleLock(page),
  s: (page) => page.set({ sheet: !page.state.sheet, tab: "channel" }),
  f: (page) => page.freeze(),
  c: (page) => page.useCamera(),
  m: (page) => page.set({ mirror: !page.state.mirror }),
  " ": ({ input }) => input?.video && (input.video.paused ? input.video.play() : input.video.pause()),
  Escape: (page) => (page.word ? page.pointAt(null) : page.set({ channel: null, stage: "class" })),
  h: () => document.getElementById("help").showModal(),
  "?": () => document.getElementById("help").showModal(),
};

export function toggleLock(page) {
  const { locked, layer, channel } = page.state;
  if (locked) page.set({ locked: null });
  else if (channel !== null) page.set({ locked: `${layer}:${channel}` });
}

function move(page, region, across, down) {
  const tiles = page.tilesHaveCome ? [...document.querySelectorAll("#tiles .tile:not([hidden])")] : [];
  page.entering = false;
  const at = tiles.findIndex((tile) => Number(tile.dataset.channel) === page.state.channel);
  if (region === "tiles" && at >= 0) {
    const columns = getComputedStyle(document.querySelector("#tiles .grid")).gridTemplateColumns.split(" ").length;
    const to = at + across + down * columns;
    if (down < 0 && to < 0) focusLayer(page);
    else if (tiles[to]) choose(page, tiles[to]);
    return;
  }
  if (region === "tiles" && down < 0) focusLayer(page);
  else if (down > 0 || region === "tiles") {
    if (tiles.length) choose(page, tiles[Math.max(at, 0)]);
    else page.entering = true; // as soon as they come
  } else if (across) {
    const names = page.model?.layers.map((layer) => layer.name) ?? [];
    const to = names.indexOf(page.state.layer) + across;
    if (names[to]) {
      page.set({ layer: names[to] });
      focusLayer(page);
    }
  }
}

export function choose(page, tile) {
  page.set({ channel: Number(tile.dataset.channel) });
  tile.focus();
}

function focusLayer(page) {
  const node = [...document.querySelectorAll("#network button")].find((each) => each.dataset.layer === page.state.layer);
  node?.focus({ preventScroll: true });
}
