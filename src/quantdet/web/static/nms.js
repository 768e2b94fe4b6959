// Greedy suppression class by class, in float32 as runtime/nms.py does it.

const f32 = Math.fround;

function area([x1, y1, x2, y2]) {
  return f32(Math.max(0, f32(x2 - x1)) * Math.max(0, f32(y2 - y1)));
}

/** Whether intersection > iou * union. */
function alike(a, b, areas, iou) {
  const width = f32(Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const height = f32(Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const inside = f32(width * Math.max(0, height));
  return inside > f32(iou * f32(areas - inside));
}

/**
 * @param {{box: number[], classId: number}[]} found best first.
 * @param {number} iou of two boxes of one class that overlap more, the worse goes.
 * @param {number} most most boxes kept.
 */
export function classWiseNms(found, iou, most) {
  const limit = f32(iou);
  const kept = [];
  for (const candidate of found) {
    if (kept.length >= most) break;
    const own = area(candidate.box);
    const hidden = kept.some(
      (better) =>
        better.found.classId === candidate.classId &&
        alike(better.found.box, candidate.box, f32(better.area + own), limit),
    );
    if (!hidden) kept.push({ found: candidate, area: own });
  }
  return kept.map(({ found: item }) => item);
}
