// Which detections people see, and in which colour.

/**
 * Lowest score of a label: the one chosen for all, else what the contract says.
 *
 * @param {number | null} chosen null: as the contract says.
 */
export function lowestScore(contract, label, chosen) {
  if (chosen !== null) return chosen;
  const { class_thresholds: own, score_threshold: common } = contract.decoder;
  return own[label] ?? common;
}

export function labelOf(contract, classId) {
  return contract.labels[classId] ?? String(classId);
}

/**
 * @param {{classId: number, score: number, box: number[]}[]} detections of one model.
 * @param {{threshold: number | null, hidden: Set<string>}} filter hidden: labels left out.
 * @returns those to show, with their label.
 */
export function shown(detections, contract, { threshold, hidden }) {
  return detections
    .map((item) => ({ ...item, label: labelOf(contract, item.classId) }))
    .filter(
      ({ label, score }) =>
        !hidden.has(label) && score >= Math.fround(lowestScore(contract, label, threshold)),
    );
}

/** Every label of the models, in the order of the first, then what the second adds. */
export function allLabels(contracts) {
  return [...new Set(contracts.flatMap(({ labels }) => labels))];
}

/** "3 objects: 2 car, 1 person" */
export function inWords(found) {
  if (!found.length) return "no objects";
  const counts = new Map();
  for (const { label } of found) counts.set(label, (counts.get(label) ?? 0) + 1);
  const parts = [...counts].map(([label, count]) => `${count} ${label}`);
  return `${found.length} ${found.length === 1 ? "object" : "objects"}: ${parts.join(", ")}`;
}
