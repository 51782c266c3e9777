// The page: takes pictures, videos, models and camera frames, and shows labels. segnet.js
// runs the network. The page sends an event for each labelled picture:
//
//     document.addEventListener("labelled", ({ detail }) => detail.labels ...)

import { download, FILES } from "./results.js";
import { Network } from "./segnet.js";
import * as stage from "./stage.js";
import { openCamera, openVideo } from "./video.js";

const element = (id) => document.getElementById(id);

let network = null;
let lack = "Starting…"; // the reason if there is no network
let file = null; // { name, bytes } of the network, to load it for another processor
const pictures = []; // files to choose from; one at a time is read
let chosen = 0; // counts choices: each ends what an earlier one began
let moving = null; // the camera, or the video that is shown
let title = ""; // the name of what is shown

// --- One thing at a time -------------------------------------------------------------

let last = Promise.resolve();

/** Runs `work` after all earlier work; shows the error if it throws one. */
function inTurn(work) {
  last = last.then(work).catch((error) => complain(error.message));
  return last;
}

function say(text) {
  element("message").textContent = text;
  element("message").className = "";
}

/** Adds a line to the complaints since something was said. */
function complain(text) {
  const { className, textContent } = element("message");
  const lines = className ? textContent.split("\n") : [];
  if (!lines.includes(text)) lines.push(text);
  element("message").textContent = lines.join("\n");
  element("message").className = "problem";
}

/** Says nothing, or that a network is needed. */
const ready = () => say(network ? "" : lack);

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
  await label();
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

/** Labels what is on the stage, if there are a picture and a network. */
async function label() {
  if (!network || !stage.size) return;
  const started = performance.now();
  const result = await network.label(stage.picture);
  stage.showLabels(result, network.metadata);
  const time = Math.round(performance.now() - started);
  const inside = Math.round(result.milliseconds);
  element("time").textContent = `${time} ms a frame (network ${inside} ms)`;
  element("save").disabled = false;
  const detail = { ...result, name: title };
  document.dispatchEvent(new CustomEvent("labelled", { detail }));
}

/** Takes files in any order: models are loaded first. */
function receive(files) {
  ready();
  for (const model of files.filter(isModel)) {
    inTurn(async () => loadModel(model.name, new Uint8Array(await model.arrayBuffer())));
  }
  add(files.filter((other) => !isModel(other)));
}

const isModel = ({ name }) => name.endsWith(".tflite");

/** Adds files to the list, and shows one after another until something else is chosen. */
async function add(files) {
  let index = pictures.length;
  const end = pictures.push(...files);
  for (const { name } of files) element("pictures").add(new Option(name));
  element("chooser").hidden = end < 2;
  while (index < end && (await choose(index))) index++;
}

/** Shows a file of the list to its end. Promises whether it is the last choice until then. */
async function choose(index) {
  const own = ++chosen;
  element("pictures").selectedIndex = index;
  element("place").textContent = `${index + 1} of ${pictures.length}`;
  await inTurn(() => own === chosen && open(pictures[index]));
  if (own === chosen) await moving?.over;
  return own === chosen;
}

function pick(index) {
  if (!pictures[index]) return;
  ready();
  choose(index);
}

async function open(picture) {
  leave();
  try {
    if (picture.type.startsWith("video/")) startVideo(await openVideo(picture));
    else await openImage(picture);
  } catch (error) {
    stage.clear(); // else it would show another picture than the list says
    throw error;
  }
}

async function openImage(picture) {
  const image = await createImageBitmap(picture).catch(() => {
    throw new Error(`${picture.name}: not an image or a video that this browser can read`);
  });
  title = stem(picture.name);
  stage.show(image, image.width, image.height);
  image.close();
  await drawn();
  await label();
}

/** Ends what was shown before. */
function leave() {
  moving?.stop();
  moving = null;
  element("pause").hidden = true;
  element("save").disabled = true;
  stage.hideLabels();
}

let example = null;

async function openExample() {
  if (example) return pick(pictures.indexOf(example));
  const response = await fetch("street.jpg");
  example = new File([await response.blob()], "street.jpg");
  receive([example]);
}

// --- Camera and videos ---------------------------------------------------------------

const cameraIsOn = () => element("camera").ariaPressed === "true";

async function startCamera() {
  if (cameraIsOn()) return; // a second click came first
  ready();
  const camera = await openCamera();
  chosen++;
  leave();
  element("camera").ariaPressed = "true";
  camera.over.then(() => (element("camera").ariaPressed = "false"));
  watch(camera);
}

function startVideo(film) {
  for (const event of ["play", "pause"]) film.video.addEventListener(event, showPaused);
  element("pause").hidden = false;
  watch(film);
  showPaused();
}

function showPaused() {
  element("pause").textContent = moving?.video.paused ? "Play" : "Pause";
}

/** Labels frames, as many as the network can, until something else is shown. */
async function watch(own) {
  const { video, name } = own;
  moving = own;
  own.over.then(() => {
    if (video.error) complain(`${name}: damaged: it ends at ${seconds(video)}`);
  });
  while (moving === own) {
    await inTurn(async () => {
      if (moving !== own || !video.videoWidth) return; // stopped while this frame waited
      title = `${stem(name)}_${seconds(video)}`;
      stage.show(video, video.videoWidth, video.videoHeight);
      await label();
    });
    await own.frame();
  }
}

const seconds = (video) => `${video.currentTime.toFixed(2)}s`;

// --- Results -------------------------------------------------------------------------

/** A file's name without its ending. */
const stem = (name) => name.replace(/^(.+)\.[^.]*$/, "$1");

async function save(kind) {
  const opacity = element("opacity").value / 100;
  download(await FILES[kind](network, opacity), `${title}_${kind}.png`);
}

// --- Controls ------------------------------------------------------------------------

for (const id of ["image-file", "model-file"]) {
  element(id).addEventListener("change", ({ target }) => {
    receive([...target.files]);
    target.value = ""; // so that the same file can be chosen again
  });
}

const CLICKS = {
  example: () => openExample().catch((error) => complain(`street.jpg: ${error.message}`)),
  camera: () => (cameraIsOn() ? moving.stop() : inTurn(startCamera)),
  pause: () => moving.toggle(),
  previous: () => step(-1),
  next: () => step(1),
  "save-labels": () => inTurn(() => save("labels")),
  "save-overlay": () => inTurn(() => save("overlay")),
};
for (const [id, action] of Object.entries(CLICKS)) element(id).addEventListener("click", action);

const step = (by) => pick(element("pictures").selectedIndex + by);

element("pictures").addEventListener("change", ({ target }) => pick(target.selectedIndex));

addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const modified = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
  if (by && !modified && !event.target.matches("select, [type=range]")) step(by);
});

element("processor").addEventListener("change", () => {
  if (file) inTurn(() => loadModel(file.name, file.bytes));
});

const overlay = element("overlay").style;
element("opacity").addEventListener("input", ({ target }) => {
  overlay.opacity = target.value / 100;
});
overlay.opacity = element("opacity").value / 100;

let inside = 0; // number of nested elements under the dragged file
for (const [name, change] of [["dragenter", 1], ["dragleave", -1]]) {
  addEventListener(name, () => {
    inside += change;
    document.body.classList.toggle("dropping", inside > 0);
  });
}
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  document.body.classList.remove("dropping");
  receive([...event.dataTransfer.files]);
});

await CLICKS.example();
inTurn(() =>
  fetchModel().catch((error) => {
    lack = error.message;
    throw error;
  }),
);
