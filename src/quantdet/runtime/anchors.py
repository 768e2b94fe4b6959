"""Anchors of a detector, made from the spec in its contract. Pure numpy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from quantdet.boxes import Boxes
from quantdet.runtime.contract import AnchorMap

Shape = tuple[float, float]
"""Height and width of an anchor as fractions of the picture."""


def anchor_boxes(maps: Sequence[AnchorMap]) -> Boxes:
    """Return all anchors as centre y, centre x, height, width in fractions, shape (N, 4).

    Cell (i, j) of an n x m map has its centre at ((i + 0.5) / n, (j + 0.5) / m). Anchors are
    not clipped to the picture (Liu et al. 2016, arXiv:1512.02325, section 2.2, as in the TF
    Object Detection API).
    """
    parts = [_map_anchors(item) for item in maps]
    return np.concatenate(parts) if parts else np.zeros((0, 4), np.float32)


def ssd_anchor_maps(
    sizes_hw: Sequence[tuple[int, int]], scales: tuple[float, float] = (0.2, 0.95)
) -> tuple[AnchorMap, ...]:
    """Return the anchors of the TF Object Detection API's ``ssd_anchor_generator``.

    Args:
        sizes_hw: (rows, columns) of each map, finest first; at least two.
        scales: of the first and of the last map, as fractions of the picture.
    """
    return tuple(
        AnchorMap(rows=rows, cols=cols, shapes_hw=shapes)
        for (rows, cols), shapes in zip(sizes_hw, ssd_shapes(len(sizes_hw), scales), strict=True)
    )


def ssd_shapes(
    count: int, scales: tuple[float, float] = (0.2, 0.95)
) -> tuple[tuple[Shape, ...], ...]:
    """Return the anchor shapes of ``count`` maps, finest first.

    With even steps s_k between the two ``scales`` (and 1 after them) the first map has anchors
    (0.1, ratio 1), (s_0, 2), (s_0, 1/2), the others (s_k, 1, 2, 1/2, 3, 1/3) and
    (sqrt(s_k s_k+1), 1). That is the default of the TF Object Detection API, with
    ``reduce_boxes_in_lowest_layer`` and without a fixed anchor size.
    """
    low, high = scales
    steps = [low + (high - low) * k / (count - 1) for k in range(count)]
    shapes: list[tuple[Shape, ...]] = [(shape_hw(0.1, 1.0), shape_hw(low, 2.0), shape_hw(low, 0.5))]
    for scale, following in itertools.pairwise([*steps[1:], 1.0]):
        ratios = (shape_hw(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3))
        shapes.append((*ratios, shape_hw(math.sqrt(scale * following), 1.0)))
    return tuple(shapes)


def shape_hw(scale: float, ratio: float) -> Shape:
    """Return height and width of an anchor: area ``scale²``, width / height = ``ratio``."""
    return scale / math.sqrt(ratio), scale * math.sqrt(ratio)


def _map_anchors(item: AnchorMap) -> Boxes:
    shapes = np.asarray(item.shapes_hw, dtype=np.float32).reshape(-1, 2)
    rows = (np.arange(item.rows, dtype=np.float32) + 0.5) / item.rows
    cols = (np.arange(item.cols, dtype=np.float32) + 0.5) / item.cols
    anchors = np.empty((item.rows, item.cols, len(shapes), 4), np.float32)
    anchors[..., 0] = rows[:, None, None]
    anchors[..., 1] = cols[None, :, None]
    anchors[..., 2:] = shapes
    return anchors.reshape(-1, 4)
