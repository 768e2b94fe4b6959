"""Where labels go, so that they hide neither each other nor other objects. Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels; x2 and y2 are the first pixels outside."""

# In shares of a label or of an object that are hidden; a label is hidden by far the worst way.
_HIDDEN_LABEL = 20.0
_HIDDEN_OWN_OBJECT = 0.5
_LATER_PLACE = 0.02
_ACROSS = 0.1
_MOST_OVERLAP = 0.15


class LabelPlaces:
    """Gives each label the place where it hides least; best detections ask first.

    Args:
        size_hw: of the picture.
        boxes: of all objects.
    """

    def __init__(self, size_hw: tuple[int, int], boxes: list[Rectangle]) -> None:
        self._size_hw = size_hw
        self._boxes = _array(boxes)
        self._taken: list[Rectangle] = []

    def take(self, index: int, size: tuple[int, int]) -> Rectangle | None:
        """Return a place for the label of object ``index``, and keep it for that label.

        Args:
            index: into the boxes.
            size: width and height of the label.

        Returns:
            The place, within the picture; None where every one would hide other labels.
        """
        if size[0] > self._size_hw[1] or size[1] > self._size_hw[0]:
            return None
        wanted = _wanted(tuple(self._boxes[index].tolist()), size)
        corners = np.clip(wanted, 0, np.array(self._size_hw[::-1]) - size)
        places = np.concatenate([corners, corners + size], axis=1)
        areas = _areas(places)
        labels = _intersections(places, _array(self._taken)).sum(axis=1) / areas
        objects = _intersections(places, self._boxes)
        shares = objects / np.maximum(_areas(self._boxes), 1)
        shares[:, index] *= _HIDDEN_OWN_OBJECT
        cost = _HIDDEN_LABEL * labels + shares.sum(axis=1)
        cost += _LATER_PLACE * np.arange(len(places))
        # Moved down or up it lies across a line of its box.
        cost += _ACROSS * (corners[:, 1] != wanted[:, 1])
        best = int(cost.argmin())
        if labels[best] > _MOST_OVERLAP:
            return None
        x1, y1, x2, y2 = places[best].tolist()
        self._taken.append((x1, y1, x2, y2))
        return self._taken[-1]


def _wanted(box: tuple[int, ...], size: tuple[int, int]) -> NDArray[np.int64]:
    """Return upper left corners of labels at a box, liked best first, shape (P, 2)."""
    x1, y1, x2, y2 = box
    width, height = size
    left, right, middle = x1, x2 - width, (x1 + x2 - width) // 2
    above, top, bottom, below = y1 - height, y1, y2 - height, y2
    corners = [
        (left, above),
        (left, top),
        (right, above),
        (left, below),
        (left, bottom),
        (right, top),
        (right, below),
        (middle, above),
        (middle, below),
        (x1 - width, top),
        (x2, top),
        (x1 - width, bottom),
        (x2, bottom),
    ]
    return np.array(corners, dtype=np.int64)


def _array(rectangles: list[Rectangle]) -> NDArray[np.int64]:
    return np.array(rectangles, dtype=np.int64).reshape(-1, 4)


def _areas(rectangles: NDArray[np.int64]) -> NDArray[np.int64]:
    size = np.maximum(rectangles[:, 2:] - rectangles[:, :2], 0)
    areas: NDArray[np.int64] = size.prod(axis=1)
    return areas


def _intersections(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the common area of each pair, shape (A, B)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.maximum(high - low, 0).astype(np.float64)
    shared: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return shared
