// The stage and the legend: a picture, its labels over it, and the classes in it.

const LARGEST = 1600; // pixels: the longer side of the picture as shown

const element = (id) => document.getElementById(id);
const overlay = element("overlay").getContext("2d");
const paper = element("picture").getContext("2d", { alpha: false });

/** The picture as shown, and its own size. */
export const picture = paper.canvas;
export let size = null; // null: there is none

/** Shows an image or a frame without labels. */
export function show(image, width, height) {
  const scale = Math.min(1, LARGEST / Math.max(width, height));
  size = { width, height };
  picture.width = Math.max(1, Math.round(width * scale));
  picture.height = Math.max(1, Math.round(height * scale));
  picture.dataset.filled = "";
  paper.fillStyle = "white"; // behind transparent pixels, as in predict.py
  paper.fillRect(0, 0, picture.width, picture.height);
  paper.imageSmoothingQuality = "high";
  paper.drawImage(image, 0, 0, picture.width, picture.height);
}

/** Takes the labels away: they are those of another picture. */
export function hideLabels() {
  overlay.canvas.hidden = true;
  element("legend").replaceChildren();
  picture.ariaLabel = "Picture without labels";
}

/** Takes the picture away, too. */
export function clear() {
  hideLabels();
  size = null;
  delete picture.dataset.filled;
  picture.ariaLabel = "No picture";
}

/** Shows labels over the picture, and one line per class found, the largest first. */
export function showLabels({ labels, width, height }, { classes, colours }) {
  const { canvas } = overlay;
  canvas.width = width;
  canvas.height = height;
  canvas.hidden = false;
  overlay.putImageData(painted(labels, width, colours), 0, 0);
  const counts = new Uint32Array(256);
  for (const id of labels) counts[id]++;
  const found = [...classes.keys()].filter((id) => counts[id]);
  found.sort((a, b) => counts[b] - counts[a]);
  const lines = found.map((id) => line(classes[id], colours[id], counts[id] / labels.length));
  element("legend").replaceChildren(...lines);
  const largest = found.slice(0, 3).map((id) => classes[id]);
  picture.ariaLabel = `Picture with its labels, mostly ${largest.join(", ")}`;
}

function line(name, colour, share) {
  const item = document.createElement("li");
  const swatch = item.appendChild(document.createElement("span"));
  const percent = (100 * share).toFixed(1);
  swatch.className = "swatch";
  swatch.style.background = `rgb(${colour})`;
  item.style.setProperty("--share", `${percent}%`);
  for (const text of [name, `${percent} %`]) {
    item.appendChild(document.createElement("span")).textContent = text;
  }
  return item;
}

/** Labels in the colours of their classes. */
export function painted(labels, width, colours) {
  const bytes = new Uint8Array(4 * 256); // ids without a class stay transparent
  colours.forEach((colour, id) => bytes.set([...colour, 255], 4 * id));
  const palette = new Uint32Array(bytes.buffer);
  const image = new ImageData(width, labels.length / width);
  new Uint32Array(image.data.buffer).set(Uint32Array.from(labels, (id) => palette[id]));
  return image;
}
