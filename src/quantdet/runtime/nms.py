"""Non-maximum suppression in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, area

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

_BLOCK = 128
"""Boxes compared with each other at once. On the outputs of a real detector for 200 pictures 96 and
128 are the fastest of 64 to 384."""


def class_wise_nms(
    boxes_xyxy: Boxes, class_ids: Indices, *, iou: float, most: int
) -> NDArray[np.int64]:
    """Suppress greedily: of two boxes of one class that are too much alike the better stays.

    Boxes are taken best first; one is dropped if, and only if, a box of its class that was kept
    overlaps it more than ``iou``. That is the plain greedy algorithm run for every class by
    itself, cut to the ``most`` best of all classes; it works through blocks of boxes, and stops
    when it has enough.

    Args:
        boxes_xyxy: (N, 4), best first, any unit, ``x1 <= x2`` and ``y1 <= y2``.
        class_ids: (N,).
        iou: 0 to 1.
        most: most boxes kept.

    Returns:
        Indices of the boxes kept, best first.
    """
    kept = np.zeros(0, dtype=np.int64)
    for start in range(0, len(boxes_xyxy), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(boxes_xyxy)))
        if len(kept):
            free = ~_suppresses(boxes_xyxy, class_ids, (kept, block), iou).any(axis=0)
            block = block[free]
        kept = np.concatenate([kept, _within(boxes_xyxy, class_ids, block, iou)])
        if len(kept) >= most:
            break
    return kept[:most]


def agnostic_nms(boxes_xyxy: Boxes, iou: float) -> NDArray[np.int64]:
    """Suppress as :func:`class_wise_nms` does, as if all boxes (N, 4) were of one class."""
    count = len(boxes_xyxy)
    return class_wise_nms(boxes_xyxy, np.zeros(count, np.int64), iou=iou, most=count)


def _within(boxes_xyxy: Boxes, class_ids: Indices, block: Indices, iou: float) -> Indices:
    """Return what greedy suppression keeps of ``block``, best first."""
    free = ~_suppresses(boxes_xyxy, class_ids, (block, block), iou)
    alive = np.ones(len(block), dtype=np.bool_)
    kept = []
    for i in range(len(block)):
        if alive[i]:
            kept.append(i)
            # What is before i is decided already, so that it may be cleared too.
            alive &= free[i]
    return block[kept]


def _suppresses(
    boxes_xyxy: Boxes, class_ids: Indices, pairs: tuple[Indices, Indices], iou: float
) -> Mask:
    """Return whether box i of the first and j of the second are too much alike, shape (I, J).

    The same as ``boxes.iou_matrix(...) > iou``, but by columns, which is faster, and without a
    division: ``intersection > iou * union``.
    """
    first, second = pairs
    a, b = boxes_xyxy[first].T[:, :, None], boxes_xyxy[second].T[:, None, :]
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    # One is enough: two negative sides must not make an area, and a negative one is not alike.
    inside = width * np.maximum(height, 0.0)
    areas = area(boxes_xyxy[first])[:, None] + area(boxes_xyxy[second])[None, :]
    alike: Mask = inside > np.float32(iou) * (areas - inside)
    alike &= class_ids[first][:, None] == class_ids[second][None, :]
    return alike
