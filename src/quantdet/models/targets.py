"""What the localizer heads should output for annotated objects. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, area

Floats = NDArray[np.float32]

# A cell counts as inside when its centre lies in this central part of the box; cells at the
# rim see mostly something else (FCOS, "center sampling").
_CENTRAL_PART = 0.5


@dataclass(frozen=True)
class PictureObjects:
    """The objects of one picture.

    Attributes:
        boxes_xyxy_norm: float32 (M, 4), x1, y1, x2, y2 as fractions of the picture.
        class_ids: int64 (M,), index into the labels; background is not counted.
        ignored: bool (M,): neither learned nor held against the model (difficult objects).
    """

    boxes_xyxy_norm: Boxes
    class_ids: NDArray[np.int64]
    ignored: NDArray[np.bool_]


def cell_centres(side: int) -> Floats:
    """Return x, y of the cell centres in row order as fractions, shape (side², 2)."""
    steps = (np.arange(side, dtype=np.float32) + 0.5) / side
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=-1)


def grid_targets(objects: PictureObjects, side: int, num_classes: int) -> tuple[Floats, Floats]:
    """Return the targets of one picture for the "grid" head.

    A cell is positive for an object if its centre lies in the central half of the box; the cell
    nearest the centre of the box always is. The smallest object wins a contested cell.

    Args:
        objects: all objects of the picture.
        side: cells per side.
        num_classes: classes without background.

    Returns:
        boxes (side², 5): distances to left, top, right, bottom edge as fractions, each in
            [0, 1], then 1 for positive cells;
        scores (side², num_classes + 1): one-hot class, then 1 where the cell counts.
    """
    centres = cell_centres(side)
    boxes = np.zeros((side * side, 5), dtype=np.float32)
    scores = np.zeros((side * side, num_classes + 1), dtype=np.float32)
    scores[:, -1] = 1.0
    sizes = area(objects.boxes_xyxy_norm)
    learned = np.flatnonzero(~objects.ignored)
    for index in np.flatnonzero(objects.ignored):
        scores[_cells_of(objects.boxes_xyxy_norm[index], centres), -1] = 0.0
    # Largest first, so that smaller objects overwrite.
    for index in learned[np.argsort(-sizes[learned], kind="stable")]:
        box = objects.boxes_xyxy_norm[index]
        cells = _cells_of(box, centres)
        boxes[cells, :2] = centres[cells] - box[:2]
        boxes[cells, 2:4] = box[2:] - centres[cells]
        boxes[cells, 4] = 1.0
        scores[cells] = 0.0
        scores[cells, objects.class_ids[index]] = 1.0
        scores[cells, -1] = 1.0
    # The centre of a forced cell may lie outside a small box.
    np.clip(boxes, 0.0, 1.0, out=boxes)
    return boxes, scores


def _cells_of(box: Floats, centres: Floats) -> NDArray[np.bool_]:
    middle = (box[:2] + box[2:]) / 2
    reach = (box[2:] - box[:2]) / 2 * _CENTRAL_PART
    inside = np.asarray((np.abs(centres - middle) <= reach).all(axis=1))
    inside[np.argmin(((centres - middle) ** 2).sum(axis=1))] = True
    return inside
