// From something to draw to the bytes that are sent: no more pixels than the network looks at, where pictures move.

const GREY = 1;
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
  const context = canvas.getContext("2d", { willReadFrequently: Boolean(grey) });
  context.imageSmoothingQuality = "high";
  if (mirror) context.setTransform(-1, 0, 0, 1, size[0], 0);
  context.drawImage(drawable, 0, 0, ...size);
  if (!grey) {
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
    return [new Uint8Array(await blob.arrayBuffer())];
  }
  const { data } = context.getImageData(0, 0, ...size);
  return [Uint8Array.from({ length: size[0] * size[1] }, (_, each) => data[4 * each]), GREY, ...size];
}
