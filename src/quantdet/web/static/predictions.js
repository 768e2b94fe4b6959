// Results as `quantdet predict --json` prints them.

import { roundTo } from "./numbers.js";
import { shown } from "./shown.js";

/**
 * @param {{name, frame, sizeHw, results, error}[]} pictures as the page keeps them.
 * @param {number} index of the model.
 * @returns {object[]} one record for each picture.
 */
export function predictions(pictures, index, contract, filter) {
  return pictures.map((picture) => {
    const result = picture.results?.[index];
    const found = result ? shown(result.detections, contract, filter) : [];
    return {
      source: picture.name,
      frame: picture.frame ?? null,
      drawn: null,
      size_hw: picture.sizeHw ?? [0, 0],
      inference_ms: result ? roundTo(result.times.inference, 3) : 0,
      detections: found.map(({ label, classId, score, box }) => ({
        label,
        class_id: classId,
        score: roundTo(score, 4),
        box_xyxy: box.map((value) => roundTo(value, 2)),
      })),
      error: picture.error ?? null,
    };
  });
}

export function saveAsFile(name, value) {
  const url = URL.createObjectURL(
    new Blob([`${JSON.stringify(value, null, 2)}\n`], { type: "application/json" }),
  );
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}
