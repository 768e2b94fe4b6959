// Numbers rounded as Python and numpy round them.

/** Ties go to the even neighbour. */
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** `round(value, digits)` of a float32; its product with the power of ten is exact here. */
export function roundTo(value, digits) {
  const power = 10 ** digits;
  return roundHalfEven(value * power) / power;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
