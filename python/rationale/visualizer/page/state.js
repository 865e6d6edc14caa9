// What the page shows, and its way into the address bar and back.

export const DEFAULTS = {
  model: null,
  source: "example",
  example: 0,
  target: null,
  against: null,
  composite: null,
  layer: null,
  channel: null,
  show: "both",
  sort: "relevance",
  sign: "both",
  least: 0,
  count: 48,
  opacity: 0.85,
  stage: "class",
  method: "gradient",
  origin: "channel", // what the backward view starts from: the chosen channel, or the explained class
  locked: null, // a layer and channel, "conv1:5", that stays the origin
  gamma: 1,
  boost: 1,
  map: "red-blue",
  labels: true,
  mirror: false,
  tab: "channel",
  sheet: true, // what the chosen channel has learnt
};

const NUMBERS = new Set(["example", "target", "against", "channel", "least", "count", "opacity", "gamma", "boost"]);
const CHOICES = {
  source: ["example", "camera", "pad", "photograph", "video"],
  show: ["activation", "relevance", "both"],
  sort: ["relevance", "activation", "number"],
  sign: ["both", "for", "against"],
  stage: ["class", "channel", "through", "backward"],
  method: ["gradient", "gradient-input", "deconvolution", "guided", "relevance"],
  origin: ["channel", "class"],
  map: ["red-blue", "orange-purple", "black-white"],
  tab: ["channel", "account"],
};

/** The state that an address describes. What makes no sense there is left out. */
export function fromHash(hash) {
  const state = { ...DEFAULTS };
  for (const [key, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!(key in DEFAULTS) || text === "") continue;
    if (NUMBERS.has(key)) {
      const value = Number(text);
      if (Number.isFinite(value) && value >= 0) state[key] = value;
    } else if (typeof DEFAULTS[key] === "boolean") state[key] = text === "true";
    else if (!(key in CHOICES) || CHOICES[key].includes(text)) state[key] = text;
  }
  return state;
}

/** The address of a state: what differs from the defaults. */
export function toHash(state) {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    if (key in DEFAULTS && value !== null && value !== DEFAULTS[key]) parameters.set(key, String(value));
  }
  return `#${parameters}`;
}
