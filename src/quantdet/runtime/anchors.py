"""Anchors of a detector, made from the spec in its contract. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantdet.boxes import Boxes
from quantdet.runtime.contract import AnchorMap


def anchor_boxes(maps: Sequence[AnchorMap]) -> Boxes:
    """Return all anchors as centre y, centre x, height, width in fractions, shape (N, 4).

    Cell (i, j) of an n x m map has its centre at ((i + 0.5) / n, (j + 0.5) / m). Anchors are
    not clipped to the picture (Liu et al. 2016, arXiv:1512.02325, section 2.2, as in the TF
    Object Detection API).
    """
    parts = [_map_anchors(item) for item in maps]
    return np.concatenate(parts) if parts else np.zeros((0, 4), np.float32)


def _map_anchors(item: AnchorMap) -> Boxes:
    shapes = np.asarray(item.shapes_hw, dtype=np.float32).reshape(-1, 2)
    rows = (np.arange(item.rows, dtype=np.float32) + 0.5) / item.rows
    cols = (np.arange(item.cols, dtype=np.float32) + 0.5) / item.cols
    anchors = np.empty((item.rows, item.cols, len(shapes), 4), np.float32)
    anchors[..., 0] = rows[:, None, None]
    anchors[..., 1] = cols[None, :, None]
    anchors[..., 2:] = shapes
    return anchors.reshape(-1, 4)
