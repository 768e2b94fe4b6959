"""Do two models answer the same? Compared by what people would see, object by object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import iou_matrix
from quantdet.detections import Detections

SAME_IOU = 0.9
# Coarser: whether people would say that it is the same box.
SHOWN_IOU = 0.5


def same_detections(
    first: Sequence[Detections],
    second: Sequence[Detections],
    threshold: float | NDArray[np.floating],
) -> float | None:
    """Return the share of detections that the other model has too, 0 to 1.

    A detection with ``score >= threshold`` is there too if the other model has one of the same
    class, whatever its score, with IoU >= 0.9. Asked both ways, of all pictures together; None
    where neither model shows any: nothing is no agreement.

    Args:
        first: detections of each picture by one model, not cut by any threshold.
        second: by the other.
        threshold: lowest score shown to people, of all classes or of each, shape (labels,).
    """
    met = np.zeros(2, np.int64)  # (same, shown)
    for a, b in zip(first, second, strict=True):
        met += _met(a.above(threshold), b)
        met += _met(b.above(threshold), a)
    same, shown = met.tolist()
    return float(same / shown) if shown else None


def _met(shown: Detections, others: Detections) -> tuple[int, int]:
    """Return how many of ``shown`` are among ``others``, and how many there are."""
    if not len(shown) or not len(others):
        return 0, len(shown)
    alike = iou_matrix(shown.boxes_xyxy, others.boxes_xyxy) >= SAME_IOU
    alike &= shown.class_ids[:, None] == others.class_ids[None, :]
    return int(alike.any(axis=1).sum()), len(shown)


@dataclass(frozen=True)
class Disagreement:
    """What two models show differently in one picture.

    Attributes:
        amount: sum of score differences; a box that only one shows counts with its whole score.
        only_first: boxes that only the first model shows.
        only_second: boxes that only the second shows.
    """

    amount: float
    only_first: int
    only_second: int


def disagreement(first: Detections, second: Detections) -> Disagreement:
    """Compare what two models show: boxes of one class with IoU >= 0.5 are the same, best first.

    Args:
        first: detections of a picture as people see them.
        second: of the other model.
    """
    alike = iou_matrix(first.boxes_xyxy, second.boxes_xyxy)
    alike[first.class_ids[:, None] != second.class_ids[None, :]] = 0.0
    amount, left = 0.0, set(range(len(second)))
    only_first = 0
    for row in np.argsort(-first.scores, kind="stable").tolist():
        near = max(left, key=lambda column: alike[row, column], default=None)
        if near is None or alike[row, near] < SHOWN_IOU:
            amount += float(first.scores[row])
            only_first += 1
        else:
            amount += abs(float(first.scores[row] - second.scores[near]))
            left.remove(near)
    amount += sum(float(second.scores[column]) for column in left)
    return Disagreement(amount, only_first, len(left))
