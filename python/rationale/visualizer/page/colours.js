// From 8 bits to colours: the same red for and blue against as in reports, and maps for other eyes.

const MAPS = {
  "red-blue": {
    for: [[255, 255, 255], [253, 219, 199], [239, 138, 98], [202, 52, 52], [103, 0, 31]],
    against: [[255, 255, 255], [209, 229, 240], [103, 169, 207], [38, 106, 172], [5, 48, 97]],
  },
  "orange-purple": {
    for: [[255, 255, 255], [254, 224, 182], [241, 163, 64], [179, 88, 6], [110, 50, 4]],
    against: [[255, 255, 255], [216, 218, 235], [153, 142, 195], [84, 39, 136], [45, 0, 75]],
  },
  "black-white": {
    for: [[128, 128, 128], [160, 160, 160], [192, 192, 192], [224, 224, 224], [255, 255, 255]],
    against: [[128, 128, 128], [96, 96, 96], [64, 64, 64], [32, 32, 32], [0, 0, 0]],
  },
};
const ACTIVATION = {
  for: [[255, 255, 255], [214, 217, 221], [150, 157, 166], [84, 92, 102], [20, 24, 30]],
  against: [[255, 255, 255], [231, 222, 200], [214, 190, 130], [180, 140, 50], [120, 85, 0]],
};

export const MAP_NAMES = Object.keys(MAPS);

/** Strength from −1 to 1 that each of the 256 values of a signed map stands for (see parcel.py). */
const LEVELS = Float32Array.from({ length: 256 }, (_, value) => {
  const level = (value - 128) / 127;
  return Math.sign(level) * level * level;
});

/** What a signed byte stands for, on a scale. */
export const valueOf = (byte, scale) => LEVELS[byte] * scale;

function between(stops, strength) {
  const place = Math.min(strength, 1) * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2);
  return stops[below].map((from, channel) => from + (stops[below + 1][channel] - from) * (place - below));
}

const kept = new Map();

/** 256 colours, RGBA; alpha is how much a value covers what lies under it. */
export function table({ map = "red-blue", gamma = 1, boost = 1, sign = "both", activation = false, cover = false }) {
  const key = [map, gamma, boost, sign, activation, cover].join();
  if (!kept.has(key)) {
    if (kept.size > 64) kept.clear();
    const { for: up, against: down } = activation ? ACTIVATION : MAPS[map];
    const colours = new Uint8ClampedArray(1024);
    for (let value = 0; value < 256; value += 1) {
      const level = LEVELS[value];
      const hidden = (sign === "for" && level < 0) || (sign === "against" && level > 0);
      const strength = hidden ? 0 : Math.min(1, Math.abs(level) * boost) ** gamma;
      colours.set(between(level < 0 ? down : up, strength), 4 * value);
      colours[4 * value + 3] = cover ? 255 * strength ** 0.6 : 255;
    }
    kept.set(key, colours);
  }
  return kept.get(key);
}

/** Draws a signed map (H, W), one pixel of the canvas for each. */
export function drawMap(canvas, bytes, width, height, colours) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const words = new Uint32Array(image.data.buffer);
  const palette = new Uint32Array(colours.buffer);
  for (let each = 0; each < words.length; each += 1) words[each] = palette[bytes[each]];
  context.putImageData(image, 0, 0);
}

/** Draws three signed maps (3, H, W) as a picture around middle grey, as backward views are shown. */
export function drawColours(canvas, bytes, width, height, { gamma, boost }) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const size = width * height;
  const tone = Uint8ClampedArray.from({ length: 256 }, (_, value) => {
    const level = LEVELS[value];
    return 128 + 127 * Math.sign(level) * Math.min(1, Math.abs(level) * boost) ** gamma;
  });
  for (let each = 0; each < size; each += 1) {
    for (let channel = 0; channel < 3; channel += 1) {
      image.data[4 * each + channel] = tone[bytes[channel * size + each]];
    }
    image.data[4 * each + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Draws a picture, grey (H, W) or RGB (H, W, 3); the paler and greyer the more heatmap lies over it. */
export function drawPicture(canvas, pixels, shape, pale) {
  const [height, width] = shape;
  const channels = shape.length === 3 ? 3 : 1;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let each = 0, at = 0; at < pixels.length; each += 4, at += channels) {
    const red = pixels[at];
    const green = channels === 3 ? pixels[at + 1] : red;
    const blue = channels === 3 ? pixels[at + 2] : red;
    const grey = (116 + 0.4 * (0.299 * red + 0.587 * green + 0.114 * blue)) * pale;
    image.data[each] = red * (1 - pale) + grey;
    image.data[each + 1] = green * (1 - pale) + grey;
    image.data[each + 2] = blue * (1 - pale) + grey;
    image.data[each + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** A colour bar from −1 to 1. */
export function drawBar(canvas, colours) {
  drawMap(canvas, Uint8Array.from({ length: 255 }, (_, each) => {
    const level = (each - 127) / 127;
    return Math.round(128 + 127 * Math.sign(level) * Math.sqrt(Math.abs(level)));
  }), 255, 1, colours);
}
