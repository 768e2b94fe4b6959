"""Do two models answer the same? Compared by what people would see, object by object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import iou_matrix
from quantdet.detections import Detections

SAME_IOU = 0.9


def same_detections(
    first: Sequence[Detections],
    second: Sequence[Detections],
    threshold: float | NDArray[np.floating],
) -> float:
    """Return the share of detections that the other model has too, 0 to 1.

    A detection with ``score >= threshold`` is there too if the other model has one of the same
    class, whatever its score, with IoU >= 0.9. Asked both ways, of all pictures together; 1 where
    neither model has any.

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
    return float(same / shown) if shown else 1.0


def _met(shown: Detections, others: Detections) -> tuple[int, int]:
    """Return how many of ``shown`` are among ``others``, and how many there are."""
    if not len(shown) or not len(others):
        return 0, len(shown)
    alike = iou_matrix(shown.boxes_xyxy, others.boxes_xyxy) >= SAME_IOU
    alike &= shown.class_ids[:, None] == others.class_ids[None, :]
    return int(alike.any(axis=1).sum()), len(shown)
