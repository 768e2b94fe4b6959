// Pillow's bilinear resize, integer for integer (13.0, libImaging/Resample.c, 8 bits per channel).
// It averages where it shrinks, which a canvas does not.

const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

/** Which input pixels make each output pixel, and their weights in 22-bit fixed point. */
function makeWeights(inputSize, outputSize) {
  const scale = inputSize / outputSize;
  const support = Math.max(scale, 1);
  const most = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(outputSize);
  const count = new Int32Array(outputSize);
  const weights = new Int32Array(outputSize * most);
  const real = new Float64Array(most);
  for (let i = 0; i < outputSize; i++) {
    const centre = (i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(centre - support + 0.5));
    const to = Math.min(inputSize, Math.trunc(centre + support + 0.5));
    let sum = 0;
    for (let k = 0; k < to - from; k++) {
      // Pillow multiplies by the reciprocal; a division would round otherwise.
      const distance = Math.abs((k + from - centre + 0.5) * (1 / support));
      real[k] = distance < 1 ? 1 - distance : 0;
      sum += real[k];
    }
    for (let k = 0; k < to - from; k++) {
      weights[i * most + k] = Math.trunc(0.5 + (real[k] / sum) * (1 << PRECISION_BITS));
    }
    first[i] = from;
    count[i] = to - from;
  }
  return { first, count, weights, most };
}

/** RGBA rows become RGB rows of another width. */
function resizeRows({ data, width, height }, newWidth) {
  const out = new Uint8Array(newWidth * height * 3);
  const { first, count, weights, most } = makeWeights(width, newWidth);
  for (let y = 0, o = 0; y < height; y++) {
    const row = y * width;
    for (let x = 0; x < newWidth; x++, o += 3) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      let i = 4 * (row + first[x]);
      const end = x * most + count[x];
      for (let k = x * most; k < end; k++, i += 4) {
        const weight = weights[k];
        red += data[i] * weight;
        green += data[i + 1] * weight;
        blue += data[i + 2] * weight;
      }
      out[o] = red >> PRECISION_BITS;
      out[o + 1] = green >> PRECISION_BITS;
      out[o + 2] = blue >> PRECISION_BITS;
    }
  }
  return out;
}

/** Rows of any number of channels become another number of rows. */
function resizeColumns(data, rowLength, height, newHeight) {
  const out = new Uint8Array(rowLength * newHeight);
  const { first, count, weights, most } = makeWeights(height, newHeight);
  const sums = new Int32Array(rowLength);
  for (let y = 0; y < newHeight; y++) {
    sums.fill(HALF);
    for (let k = 0; k < count[y]; k++) {
      const weight = weights[y * most + k];
      const row = (first[y] + k) * rowLength;
      for (let x = 0; x < rowLength; x++) sums[x] += data[row + x] * weight;
    }
    for (let x = 0; x < rowLength; x++) out[y * rowLength + x] = sums[x] >> PRECISION_BITS;
  }
  return out;
}

function dropAlpha({ data, width, height }) {
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0, o = 0; o < rgb.length; i += 4, o += 3) {
    rgb[o] = data[i];
    rgb[o + 1] = data[i + 1];
    rgb[o + 2] = data[i + 2];
  }
  return rgb;
}

/** Pillow 13 starts with the height where that shrinks much more; each pass rounds. */
function startsWithHeight({ width, height }, newWidth, newHeight) {
  return newHeight < height && height - newHeight > 2 * (width - newWidth);
}

/**
 * @param {ImageData} picture opaque RGBA pixels.
 * @param {[number, number]} sizeHw height and width wanted; the aspect ratio is not kept.
 * @returns {Uint8Array} RGB, height x width x 3.
 */
export function resize(picture, [height, width]) {
  const toWidth = (from) => (from.width === width ? dropAlpha(from) : resizeRows(from, width));
  if (startsWithHeight(picture, width, height)) {
    const data = resizeColumns(picture.data, 4 * picture.width, picture.height, height);
    return toWidth({ data, width: picture.width, height });
  }
  const rows = toWidth(picture);
  return picture.height === height ? rows : resizeColumns(rows, 3 * width, picture.height, height);
}
