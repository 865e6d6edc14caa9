// From something to draw to the bytes that are sent. Of pictures that move, plain pixels, no more than the network looks
// at: a browser encodes a file only when it is idle, which it is not while it draws what came before.

const GREY = 1;
const RGB = 3;
const MOST = 2048; // pixels on the longer side of a still picture that must be drawn anew
const QUALITY = 0.92;
const canvas = document.createElement("canvas");

/** Bytes, kind, width and height, as `Connection.send` wants them. */
export async function encode({ drawable, width, height, file, grey }, input, mirror) {
  if (file && (!mirror || !drawable)) return [new Uint8Array(await file.arrayBuffer())];
  const wanted = grey ? 1 : file ? MOST / Math.max(width, height) : Math.max(input.width / width, input.height / height);
  const scale = Math.min(1, wanted);
  const size = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  Object.assign(canvas, { width: size[0], height: size[1] });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  if (mirror) context.setTransform(-1, 0, 0, 1, size[0], 0);
  context.drawImage(drawable, 0, 0, ...size);
  if (file) {
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
    return [new Uint8Array(await blob.arrayBuffer())];
  }
  const { data } = context.getImageData(0, 0, ...size);
  const kind = grey ? GREY : RGB;
  return [without(data, kind), kind, ...size];
}

/** RGBA to so many channels. */
function without(data, channels) {
  const pixels = new Uint8Array((data.length / 4) * channels);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    for (let channel = 0; channel < channels; channel += 1, to += 1) pixels[to] = data[from + channel];
  }
  return pixels;
}
