// The files of what is on the stage.

import { encode } from "fast-png";
import { painted, picture, size } from "./stage.js";

/** By kind: a function of a network and the overlay's opacity. Promises a PNG file. */
export const FILES = { labels: labelsFile, overlay: overlayFile };

/** Pixels are ids, the palette has the colours: as large as the picture, as predict.py's. */
async function labelsFile(network) {
  const { labels, width, height } = await network.label(picture, size);
  const { colours } = network.metadata;
  const palette = Array.from({ length: 256 }, (_, id) => colours[id] ?? [0, 0, 0]);
  const png = encode({ data: labels, width, height, channels: 1, depth: 8, palette });
  return new Blob([png], { type: "image/png" });
}

/** The picture as shown, and as large, tinted by class. */
async function overlayFile(network, opacity) {
  const { width, height } = picture;
  const { labels } = await network.label(picture, { width, height });
  const tint = new OffscreenCanvas(width, height);
  tint.getContext("2d").putImageData(painted(labels, width, network.metadata.colours), 0, 0);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: false });
  context.drawImage(picture, 0, 0);
  context.globalAlpha = opacity;
  context.drawImage(tint, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

let address = ""; // of the last file: it is kept until the next one

/** Gives a file to the person at the browser. */
export function download(blob, name) {
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}
