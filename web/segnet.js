// Runs a .tflite file of segnet_tf on anything that a canvas can draw.
//
//     const network = await Network.load(bytes);
//     const { labels, width, height } = await network.label(canvas);

import {
  getWebGpuDevice,
  loadAndCompile,
  loadLiteRt,
  supportsFeature,
  Tensor,
} from "@litertjs/core";
import { labelsOf, resized } from "./resizing.js";

const RUNTIME = new URL("node_modules/@litertjs/core/wasm/", import.meta.url).href;

// LiteRT.js 2.5.3 computes some networks wrongly on WebGPU, without an error (README.md). So
// a GPU is used only if it labels this share of noise as the CPU does.
const AGREEMENT = 0.99;

// A picture that has this share of the training images' pixels is not scaled, as in predict.py.
const CLOSE = [0.8, 1.25];

let runtime; // a promise of the runtime that all networks share

function startRuntime() {
  runtime ??= Promise.all([supportsFeature("threads"), supportsFeature("relaxedSimd")])
    // Threads need shared memory: see serve.js.
    .then((has) => loadLiteRt(RUNTIME, { threads: self.crossOriginIsolated && has.every(Boolean) }))
    .catch((error) => {
      runtime = undefined;
      throw new Error(`LiteRT.js does not start in this browser (${error.message})`);
    });
  return runtime;
}

export class Network {
  #model;
  #input;
  #paper;

  /**
   * Reads and compiles a file.
   *
   * @param {Uint8Array} bytes The whole file.
   * @param {"wasm" | "webgpu"} processor The processor to run on: "wasm" is the CPU.
   * @returns {Promise<Network>}
   * @throws {Error} If the file is damaged, or if the browser cannot run it.
   */
  static async load(bytes, processor = "wasm") {
    const metadata = readMetadata(bytes);
    await startRuntime();
    if (processor === "webgpu" && !getWebGpuDevice()) {
      throw new Error("this browser offers no WebGPU here");
    }
    const network = await Network.#compile(metadata, bytes, processor);
    if (processor === "wasm") return network;
    const reference = await Network.#compile(metadata, bytes, "wasm");
    const share = await network.#agreement(reference);
    reference.delete();
    if (share >= AGREEMENT) return network;
    network.delete();
    const different = (100 - 100 * share).toFixed(1);
    throw new Error(`WebGPU labels ${different} % of the pixels unlike the CPU: use the CPU`);
  }

  static async #compile(metadata, bytes, processor) {
    // Half precision would be faster on a GPU, but change some labels.
    const options = { accelerator: processor, gpuOptions: { precision: "fp32" } };
    try {
      const network = new Network(metadata, await loadAndCompile(bytes, options));
      await network.#run(); // the first run takes several times as long
      return network;
    } catch (error) {
      throw new Error(`LiteRT.js cannot run it (${error.message ?? error})`);
    }
  }

  constructor(metadata, model) {
    const [image] = model.getInputDetails();
    const [, height, width, channels] = image.shape;
    if (channels === 4) throw new Error("needs a fourth channel, which no picture here has");
    /** Class names, colours and the rest of the file's labels.json. */
    this.metadata = metadata;
    /** Size of the network's input; LiteRT.js cannot change it. */
    this.width = width;
    this.height = height;
    /** 3 for RGB, 1 for grey. */
    this.channels = channels;
    /** The processor that runs the network: "wasm" or "webgpu". */
    this.processor = model.options.accelerator;
    this.threads = model.options.cpuOptions.numThreads;
    this.#model = model;
    const array = image.dtype === "uint8" ? Uint8Array : Float32Array;
    this.#input = new array(height * width * channels);
    const canvas = new OffscreenCanvas(width, height);
    this.#paper = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  }

  /**
   * Labels a picture, scaled to as many pixels as the training images have, or to as many
   * as fit into the network's input.
   *
   * @param {HTMLCanvasElement | ImageBitmap} picture Opaque.
   * @param {{width: number, height: number}} [size] The size of the labels. The default
   *     is that of the scaled picture.
   * @returns {Promise<{labels: Uint8Array, width: number, height: number,
   *     milliseconds: number}>} One class id per pixel, row by row; their size; the time
   *     of the network without drawing.
   */
  async label(picture, size) {
    const scaled = this.#draw(picture);
    const { width, height } = size ?? scaled;
    const started = performance.now();
    const scores = await this.#run();
    const milliseconds = performance.now() - started;
    const labels = labelsOf(scores, [this.height, this.width], scaled, { width, height });
    return { labels, width, height, milliseconds };
  }

  delete() {
    this.#model.delete();
  }

  /** The share of the pixels of a noise image that both networks label alike. */
  async #agreement(other) {
    this.#input.forEach((_, at, input) => (input[at] = 256 * Math.random()));
    other.#input.set(this.#input);
    const shape = [this.height, this.width];
    const ours = labelsOf(await this.#run(), shape, this, this);
    const theirs = labelsOf(await other.#run(), shape, this, this);
    return ours.filter((id, at) => id === theirs[at]).length / ours.length;
  }

  /** The size at which the network sees a picture: predict.py's, if that fits. */
  #sizeOf({ width, height }) {
    const { image_size: trained, multiple } = this.metadata;
    let scale = Math.min(this.width / width, this.height / height);
    if (trained && multiple) {
      const share = (width * height) / (trained[0] * trained[1]);
      const close = CLOSE[0] <= share && share <= CLOSE[1];
      scale = Math.min(scale, close ? 1 : share ** -0.5);
    }
    const scaled = (side) => Math.max(1, Math.round(side * scale));
    return { width: scaled(width), height: scaled(height) };
  }

  /** Draws the picture into the upper left of the input. Returns its size there. */
  #draw(picture) {
    const { width, height } = this.#sizeOf(picture);
    const { canvas } = this.#paper;
    [canvas.width, canvas.height] = [picture.width, picture.height];
    this.#paper.drawImage(picture, 0, 0);
    const pixels = this.#paper.getImageData(0, 0, canvas.width, canvas.height);
    const data = resized(pixels, { width, height });
    // The picture, mirrored again and again, fills the rest, as in predict.py.
    const mirrored = (at, side) => Math.min(at % (2 * side), 2 * side - 1 - (at % (2 * side)));
    const columns = Array.from({ length: this.width }, (_, x) => 4 * mirrored(x, width));
    for (let y = 0, to = 0; y < this.height; y++) {
      const row = 4 * width * mirrored(y, height);
      for (const column of columns) {
        const from = row + column;
        const [red, green, blue] = [data[from], data[from + 1], data[from + 2]];
        if (this.channels === 1) {
          this.#input[to++] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
        } else {
          this.#input[to++] = red;
          this.#input[to++] = green;
          this.#input[to++] = blue;
        }
      }
    }
    return { width, height };
  }

  async #run() {
    // The garbage collector does not free LiteRT.js' tensors.
    const image = new Tensor(this.#input, [1, this.height, this.width, this.channels]);
    try {
      const [output] = await this.#model.run(image);
      try {
        return await output.data();
      } finally {
        output.delete();
      }
    } finally {
      image.delete();
    }
  }
}

/** The file's labels.json; segnet_tf/inference/tflite_metadata.py explains its keys. */
export function readMetadata(bytes) {
  if (String.fromCharCode(...bytes.subarray(4, 8)) !== "TFL3") {
    throw new Error("not a .tflite file");
  }
  try {
    const metadata = JSON.parse(new TextDecoder().decode(zipEntry(bytes, "labels.json")));
    if (metadata.classes.length === metadata.colours.length) return metadata;
  } catch {
    // There is no zip archive behind the model, or half of one, or another one.
  }
  throw new Error("names no classes: damaged, or not an export of segnet_tf");
}

/** The bytes of an uncompressed entry of the zip archive at the end of `bytes`. */
function zipEntry(bytes, wanted) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u16 = (at) => view.getUint16(at, true);
  const u32 = (at) => view.getUint32(at, true);
  let end = bytes.length - 22;
  while (u32(end) !== 0x06054b50) end--; // RangeError if there is no archive
  let at = end - u32(end + 12);
  const shift = at - u32(end + 16); // some writers count from the archive's start
  for (let left = u16(end + 10); left > 0; left--) {
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + u16(at + 28)));
    if (name === wanted && u16(at + 10) === 0) {
      const local = shift + u32(at + 42);
      const start = local + 30 + u16(local + 26) + u16(local + 28);
      return bytes.subarray(start, start + u32(at + 20));
    }
    at += 46 + u16(at + 28) + u16(at + 30) + u16(at + 32);
  }
  throw new Error(`no entry ${wanted}`);
}
