// Pictures and scores at other sizes, with Pillow's filters: a picture gets the labels that
// predict.py gives it. segnet_tf/inference/resizing.py is the original.

/**
 * A picture of another size.
 *
 * @param {ImageData} picture
 * @param {{width: number, height: number}} to
 * @returns {Uint8ClampedArray} RGBA, row by row.
 */
export function resized({ data, width, height }, to) {
  if (width === to.width && height === to.height) return data;
  const across = neighbours(width, to.width, CUBIC);
  const thin = new Uint8ClampedArray(4 * height * to.width); // it also rounds
  for (let y = 0; y < height; y++) {
    const row = data.subarray(4 * y * width, 4 * (y + 1) * width);
    across.forEach((near, x) => blend(row, 4, near, thin, 4 * (y * to.width + x), 4));
  }
  const pitch = 4 * to.width;
  const result = new Uint8ClampedArray(pitch * to.height);
  const down = neighbours(height, to.height, CUBIC);
  down.forEach((near, y) => blend(thin, pitch, near, result, y * pitch, pitch));
  return result;
}

/**
 * The class of the highest score of each pixel, of scores scaled to another size.
 *
 * @param {TypedArray} scores Height x width x classes; or labels, height x width.
 * @param {number[]} shape Height and width of `scores`.
 * @param {{width: number, height: number}} from The part of `scores`, from its upper
 *     left, that the picture fills.
 * @param {{width: number, height: number}} to The size of the result.
 * @returns {Uint8Array} One class id per pixel, row by row.
 */
export function labelsOf(scores, [rows, columns], from, to) {
  const depth = scores.length / (rows * columns); // 1: they are labels
  const filter = depth === 1 ? nearest : (...sides) => neighbours(...sides, LINEAR);
  const across = filter(from.width, to.width);
  const narrow = new Float32Array(from.width * depth);
  const line = new Float32Array(to.width * depth);
  const labels = new Uint8Array(to.width * to.height);
  let at = 0;
  for (const near of filter(from.height, to.height)) {
    // One row at a time: the scores of a photo of twelve megapixels take 0.5 GiB.
    blend(scores, columns * depth, near, narrow, 0, narrow.length);
    across.forEach((near, x) => blend(narrow, depth, near, line, x * depth, depth));
    for (let x = 0; x < line.length; x += depth) {
      let best = 0;
      for (let k = 1; k < depth; k++) if (line[x + k] > line[x + best]) best = k;
      labels[at++] = depth === 1 ? line[x] : best;
    }
  }
  return labels;
}

/** Writes the weighted sum of neighbouring stretches of `source` into `target`. */
function blend(source, pitch, { first, weights }, target, at, length) {
  const start = first * pitch;
  for (let k = 0; k < length; k++) {
    let sum = 0;
    for (let i = 0, from = start + k; i < weights.length; i++, from += pitch) {
      sum += weights[i] * source[from];
    }
    target[at + k] = sum;
  }
}

const LINEAR = { reach: 1, weight: (x) => 1 - x };
const CUBIC = {
  reach: 2,
  weight: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : ((-0.5 * x + 2.5) * x - 4) * x + 2),
};

/** For each pixel of a line of `to` pixels: its neighbours in a line of `from` pixels. */
function neighbours(from, to, { reach, weight }) {
  const scale = from / to;
  const spread = Math.max(1, scale); // it takes means if it scales down
  return Array.from({ length: to }, (_, at) => {
    if (scale === 1) return { first: at, weights: [1] };
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach * spread + 0.5));
    const end = Math.min(from, Math.floor(centre + reach * spread + 0.5));
    const weights = [];
    for (let x = first; x < end; x++) {
      const distance = Math.abs(x + 0.5 - centre) / spread;
      weights.push(distance < reach ? weight(distance) : 0);
    }
    const sum = weights.reduce((total, one) => total + one);
    return { first, weights: weights.map((one) => one / sum) };
  });
}

function nearest(from, to) {
  let centre = from / to / 2;
  return Array.from({ length: to }, () => {
    const near = { first: Math.floor(centre), weights: [1] };
    centre += from / to; // not a product: on a border between two pixels it is as Pillow
    return near;
  });
}
