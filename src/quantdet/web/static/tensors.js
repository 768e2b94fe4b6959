// What a contract says of tensors: pixels → input, output integers → real values.

import { roundHalfEven } from "./numbers.js";

const RANGES = { uint8: [0, 255], int8: [-128, 127] };

/** Input value of each of the 256 pixel values; see quantize_input in runtime/preprocess.py. */
function inputTable({ tensor, pixel_offset: offset, pixel_scale: scale }) {
  const real = Float64Array.from({ length: 256 }, (_, pixel) => (pixel - offset) / scale);
  if (tensor.dtype === "float32") return Float32Array.from(real);
  const [low, high] = RANGES[tensor.dtype];
  return Uint8Array.from(real, (value) => {
    const q = roundHalfEven(value / tensor.scale) + tensor.zero_point;
    return Math.min(high, Math.max(low, q));
  });
}

/** A function pixels → input tensor, as `input` of the contract says. */
export function makeQuantizer(input) {
  const table = inputTable(input);
  if (table instanceof Uint8Array && table.every((value, pixel) => value === pixel)) {
    return (pixels) => pixels;
  }
  return (pixels) => {
    const tensor = new table.constructor(pixels.length);
    for (let i = 0; i < pixels.length; i++) tensor[i] = table[pixels[i]];
    return tensor;
  };
}

/** `(q - zero_point) * scale` in float32; floats are real already. */
export function dequantizer(values, { scale, zero_point: zeroPoint }) {
  if (values instanceof Float32Array) return (i) => values[i];
  const step = Math.fround(scale);
  return (i) => Math.fround((values[i] - zeroPoint) * step);
}
