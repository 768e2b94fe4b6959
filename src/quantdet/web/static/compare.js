// Where two models agree and where they do not.

const SAME_PLACE = 0.5;

export function iou(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
  return (width * height) / (area(a) + area(b) - width * height);
}

/** Pair what overlaps most and `fits`; answers the pairs and removes them from both lists. */
function pairUp(first, second, fits) {
  const close = [];
  for (const a of first) {
    for (const b of second) {
      const overlap = iou(a.box, b.box);
      if (overlap >= SAME_PLACE && fits(a, b)) close.push({ a, b, overlap });
    }
  }
  close.sort((one, other) => other.overlap - one.overlap);
  const pairs = [];
  for (const pair of close) {
    if (first.has(pair.a) && second.has(pair.b)) {
      first.delete(pair.a);
      second.delete(pair.b);
      pairs.push(pair);
    }
  }
  return pairs;
}

/**
 * @param {object[]} first shown detections of one model.
 * @param {object[]} second of the other.
 * @returns {{kind: "same" | "label" | "first" | "second", a?, b?, overlap?}[]} differences first:
 *   found by one only, at one place with two labels, then what both found.
 */
export function compare(first, second) {
  const left = new Set(first);
  const right = new Set(second);
  const same = pairUp(left, right, (a, b) => a.label === b.label);
  const relabelled = pairUp(left, right, () => true);
  return [
    ...[...left].map((a) => ({ kind: "first", a })),
    ...[...right].map((b) => ({ kind: "second", b })),
    ...relabelled.map((pair) => ({ kind: "label", ...pair })),
    ...same.map((pair) => ({ kind: "same", ...pair })),
  ];
}
