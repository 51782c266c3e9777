// The page: takes pictures, models and camera frames, and shows labels. segnet.js runs the
// network. The page sends an event for each labelled picture:
//
//     document.addEventListener("labelled", ({ detail }) => detail.labels ...)

import { Network } from "./segnet.js";

const LARGEST = 1600; // pixels: the longer side of the picture as shown

const element = (id) => document.getElementById(id);
const picture = element("picture").getContext("2d", { alpha: false });
const overlay = element("overlay").getContext("2d");

let network = null;
let lack = "Starting…"; // the reason if there is no network
let file = null; // { name, bytes } of the network, to load it for another processor
let stream = null; // the camera's, while it is on

// --- One thing at a time -------------------------------------------------------------

let last = Promise.resolve();

/** Runs `work` after all earlier work; shows the error if it throws one. */
function inTurn(work) {
  last = last.then(work).catch((error) => say(error.message, "problem"));
  return last;
}

function say(text, kind = "") {
  element("message").textContent = text;
  element("message").className = kind;
}

/** Lets the browser draw, which the network would block. */
const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

// --- Models --------------------------------------------------------------------------

async function loadModel(name, bytes) {
  const choice = element("processor");
  say(`Loading ${name} …`);
  await drawn();
  try {
    const loaded = await Network.load(bytes, choice.value);
    network?.delete();
    network = loaded;
    file = { name, bytes };
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  } finally {
    // If loading failed, the choice goes back to the processor in use.
    choice.value = network?.processor ?? "wasm";
  }
  showModel();
  say("");
  if (shown()) await label();
}

function showModel() {
  const { metadata, width, height, processor, threads } = network;
  const multiple = metadata.multiple;
  const others = multiple ? ` (export.py --size: any multiples of ${multiple})` : "";
  const cpu = threads === 1 ? "CPU, 1 thread" : `CPU, ${threads} threads`;
  element("model-name").textContent = `${file.name} (${metadata.name})`;
  element("model-size").textContent = `${width} × ${height}${others}`;
  element("runs-on").textContent = processor === "webgpu" ? "GPU (WebGPU)" : cpu;
}

/** Loads the file that the address names (?model=...), else the one of npm start. */
async function fetchModel() {
  const named = new URLSearchParams(location.search).get("model");
  const response = await fetch(named ?? "model.tflite").catch(() => null);
  if (response?.ok) {
    const bytes = new Uint8Array(await response.arrayBuffer());
    return loadModel((named ?? "model.tflite").split("/").pop(), bytes);
  }
  throw new Error(
    named
      ? `${named}: ${response ? `the server answers ${response.status}` : "cannot be reached"}`
      : "No model yet: drop or open a .tflite file that export.py has written.",
  );
}

// --- Pictures ------------------------------------------------------------------------

const shown = () => "filled" in picture.canvas.dataset;

function show(image, width, height) {
  const { canvas } = picture;
  const scale = Math.min(1, LARGEST / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.dataset.filled = "";
  picture.fillStyle = "white"; // behind transparent pixels, as in predict.py
  picture.fillRect(0, 0, canvas.width, canvas.height);
  picture.imageSmoothingQuality = "high";
  picture.drawImage(image, 0, 0, canvas.width, canvas.height);
}

async function label() {
  const started = performance.now();
  const result = await network.label(picture.canvas);
  const counts = tint(result);
  const time = Math.round(performance.now() - started);
  const inside = Math.round(result.milliseconds);
  element("time").textContent = `${time} ms a frame (network ${inside} ms)`;
  showLegend(counts, result.labels.length);
  document.dispatchEvent(new CustomEvent("labelled", { detail: result }));
}

/** Draws labels in the colours of their classes. Returns the pixels of each id. */
function tint({ labels, width, height }) {
  const colours = new Uint8Array(4 * 256); // ids without a class stay transparent
  network.metadata.colours.forEach((colour, id) => colours.set([...colour, 255], 4 * id));
  const palette = new Uint32Array(colours.buffer);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const counts = new Uint32Array(256);
  for (let at = 0; at < labels.length; at++) {
    counts[labels[at]]++;
    pixels[at] = palette[labels[at]];
  }
  overlay.canvas.width = width;
  overlay.canvas.height = height;
  overlay.canvas.dataset.filled = "";
  overlay.canvas.hidden = false;
  overlay.putImageData(image, 0, 0);
  return counts;
}

/** Shows one line per class found, the largest first. */
function showLegend(counts, pixels) {
  const { classes, colours } = network.metadata;
  const found = [...classes.keys()].filter((id) => counts[id]);
  found.sort((a, b) => counts[b] - counts[a]);
  const lines = found.map((id) => {
    const line = document.createElement("li");
    const swatch = line.appendChild(document.createElement("span"));
    const share = `${((100 * counts[id]) / pixels).toFixed(1)} %`;
    swatch.className = "swatch";
    swatch.style.background = `rgb(${colours[id]})`;
    line.style.setProperty("--share", share.replace(" ", ""));
    for (const text of [classes[id], share]) {
      line.appendChild(document.createElement("span")).textContent = text;
    }
    return line;
  });
  element("legend").replaceChildren(...lines);
  const largest = found.slice(0, 3).map((id) => classes[id]);
  picture.canvas.ariaLabel = `Picture with its labels, mostly ${largest.join(", ")}`;
}

async function openImage(blob, name) {
  stopCamera();
  say(network ? "" : lack);
  const image = await createImageBitmap(blob).catch(() => {
    throw new Error(`${name}: not an image that this browser can read`);
  });
  overlay.canvas.hidden = true; // it still shows the labels of the picture before
  show(image, image.width, image.height);
  image.close();
  await drawn();
  if (network) await label();
}

async function openExample() {
  const response = await fetch("street.jpg");
  await openImage(await response.blob(), "street.jpg");
}

async function openFile(file) {
  if (!file.name.endsWith(".tflite")) return openImage(file, file.name);
  return loadModel(file.name, new Uint8Array(await file.arrayBuffer()));
}

// --- Camera --------------------------------------------------------------------------

const REFUSALS = {
  NotAllowedError: "The camera was refused: allow it in the address bar, or open a picture.",
  NotFoundError: "No camera found: open a picture instead.",
  NotReadableError: "The camera is in use by another program.",
};

async function startCamera() {
  if (stream) return; // a second click came first
  if (!navigator.mediaDevices) {
    throw new Error("Browsers open the camera only for https:// and http://localhost.");
  }
  say(network ? "" : lack);
  const wanted = { video: { facingMode: "environment" } };
  stream = await navigator.mediaDevices.getUserMedia(wanted).catch((error) => {
    throw new Error(REFUSALS[error.name] ?? `The camera does not open (${error.message}).`);
  });
  stream.getTracks()[0].addEventListener("ended", stopCamera);
  element("camera").ariaPressed = "true";
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.srcObject = stream;
  await video.play();
  watch(video, stream);
}

/** Labels frame after frame while the camera is on. */
async function watch(video, own) {
  while (stream === own) {
    await inTurn(async () => {
      if (stream !== own) return; // stopped while this frame waited
      show(video, video.videoWidth, video.videoHeight);
      if (network) await label();
    });
    await drawn();
  }
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  element("camera").ariaPressed = "false";
}

// --- Controls ------------------------------------------------------------------------

for (const id of ["image-file", "model-file"]) {
  element(id).addEventListener("change", ({ target }) => {
    const [chosen] = target.files;
    if (chosen) inTurn(() => openFile(chosen));
    target.value = ""; // so that the same file can be chosen again
  });
}

element("example").addEventListener("click", () => inTurn(openExample));

element("camera").addEventListener("click", () => {
  if (stream) stopCamera();
  else inTurn(startCamera);
});

element("processor").addEventListener("change", () => {
  if (file) inTurn(() => loadModel(file.name, file.bytes));
});

element("opacity").addEventListener("input", ({ target }) => {
  overlay.canvas.style.opacity = target.value / 100;
});
overlay.canvas.style.opacity = element("opacity").value / 100;

let inside = 0; // number of nested elements under the dragged file
for (const [name, step] of [["dragenter", 1], ["dragleave", -1]]) {
  addEventListener(name, () => {
    inside += step;
    document.body.classList.toggle("dropping", inside > 0);
  });
}
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  document.body.classList.remove("dropping");
  for (const dropped of event.dataTransfer.files) inTurn(() => openFile(dropped));
});

inTurn(openExample);
inTurn(() =>
  fetchModel().catch((error) => {
    lack = error.message;
    throw error;
  }),
);
