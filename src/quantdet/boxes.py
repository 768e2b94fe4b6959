"""Box arithmetic in numpy.

One internal format: float32 ``boxes_xyxy`` of shape (N, 4), ``x1, y1, x2, y2`` in absolute
pixels, 0-based, where ``x2 - x1`` is the width. Other formats exist only at the edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode_boxes", "encode_boxes", "iou_matrix", "iou_pairs"]

Boxes = NDArray[np.float32]


def as_boxes(values: object) -> Boxes:
    """Return ``values`` as a float32 array of shape (N, 4)."""
    return np.asarray(values, dtype=np.float32).reshape(-1, 4)


def area(boxes_xyxy: Boxes) -> NDArray[np.float32]:
    """Return areas in square pixels, shape (N,); inverted boxes have area 0."""
    size = np.maximum(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0.0)
    result: NDArray[np.float32] = size[..., 0] * size[..., 1]
    return result


def clip(boxes_xyxy: Boxes, size_hw: tuple[int, int]) -> Boxes:
    """Return boxes cut to a picture of ``size_hw`` = (height, width) pixels."""
    height, width = size_hw
    limit = np.array([width, height, width, height], dtype=np.float32)
    return np.clip(boxes_xyxy, 0.0, limit).astype(np.float32)


def iou_pairs(a_xyxy: Boxes, b_xyxy: Boxes) -> NDArray[np.float32]:
    """Return IoU of box i of ``a`` with box i of ``b``, shape (N,), range [0, 1]."""
    top_left = np.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    bottom_right = np.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    size = np.maximum(bottom_right - top_left, 0.0)
    intersection = size[..., 0] * size[..., 1]
    union = area(a_xyxy) + area(b_xyxy) - intersection
    return np.where(union > 0, intersection / np.maximum(union, 1e-12), 0.0).astype(np.float32)


def iou_matrix(a_xyxy: Boxes, b_xyxy: Boxes) -> NDArray[np.float32]:
    """Return IoU of every box of ``a`` (N) with every box of ``b`` (M), shape (N, M)."""
    return iou_pairs(a_xyxy[:, None, :], b_xyxy[None, :, :])


def xyxy_to_yxyx_norm(boxes_xyxy: Boxes, size_hw: tuple[int, int]) -> Boxes:
    """Return ``ymin, xmin, ymax, xmax`` as a fraction of the picture, shape (N, 4)."""
    height, width = size_hw
    scale = np.array([height, width, height, width], dtype=np.float32)
    return (boxes_xyxy[..., [1, 0, 3, 2]] / scale).astype(np.float32)


def yxyx_norm_to_xyxy(boxes_yxyx_norm: Boxes, size_hw: tuple[int, int]) -> Boxes:
    """Inverse of :func:`xyxy_to_yxyx_norm`."""
    height, width = size_hw
    scale = np.array([width, height, width, height], dtype=np.float32)
    return (boxes_yxyx_norm[..., [1, 0, 3, 2]] * scale).astype(np.float32)


def ordered(boxes_xyxy: Boxes) -> Boxes:
    """Return boxes with ``x1 <= x2`` and ``y1 <= y2``: corners swapped where needed."""
    low = np.minimum(boxes_xyxy[..., :2], boxes_xyxy[..., 2:])
    high = np.maximum(boxes_xyxy[..., :2], boxes_xyxy[..., 2:])
    return np.concatenate([low, high], axis=-1).astype(np.float32)


Coder = tuple[float, float, float, float]
"""Factors of centre y, centre x, height and width; (10, 10, 5, 5) in TF Object Detection."""


def cyxhw_to_xyxy(boxes_cyxhw: Boxes) -> Boxes:
    """Return corners of boxes given as centre y, centre x, height, width, shape (N, 4)."""
    centre = boxes_cyxhw[..., [1, 0]]
    half = boxes_cyxhw[..., [3, 2]] / 2
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)


def encode_boxes(boxes_xyxy: Boxes, anchors_cyxhw: Boxes, coder: Coder) -> Boxes:
    """Return boxes (N, 4) as offsets ty, tx, th, tw from their anchors, shape (N, 4).

    ``ty = c_y (y - y_a) / h_a``, ``th = c_h log(h / h_a)``, likewise x and w, with (y, x) the
    centre (Ren et al. 2015, arXiv:1506.01497, equation 2; TF's FasterRcnnBoxCoder).

    Args:
        boxes_xyxy: (N, 4) in the unit of the anchors; sides must be positive.
        anchors_cyxhw: (N, 4), one per box.
        coder: factors.
    """
    size = (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2])[..., ::-1]
    centre = (boxes_xyxy[..., :2] + boxes_xyxy[..., 2:])[..., ::-1] / 2
    offsets = (centre - anchors_cyxhw[..., :2]) / anchors_cyxhw[..., 2:]
    logs = np.log(size / anchors_cyxhw[..., 2:])
    return as_boxes(np.concatenate([offsets, logs], axis=-1) * np.asarray(coder))


def decode_boxes(encoded: Boxes, anchors_cyxhw: Boxes, coder: Coder) -> Boxes:
    """Inverse of :func:`encode_boxes`: corners xyxy in the unit of the anchors, shape (N, 4)."""
    steps = np.divide(encoded, np.asarray(coder, dtype=np.float32), dtype=np.float32)
    centre = steps[..., :2] * anchors_cyxhw[..., 2:] + anchors_cyxhw[..., :2]
    size = exp_float32(steps[..., 2:]) * anchors_cyxhw[..., 2:]
    return cyxhw_to_xyxy(np.concatenate([centre, size], axis=-1))


def exp_float32(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return exp rounded once: numpy's of float32 is a unit off on some CPUs and not on others."""
    exact: NDArray[np.float64] = np.exp(values, dtype=np.float64)
    return exact.astype(np.float32)
