"""Model outputs become boxes: one function per output layout, found by ``DECODERS[kind]``.

A decoder gets real (dequantized) outputs of one picture and returns detections, best first and
not yet cut by any threshold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import as_boxes, clip, ordered, yxyx_norm_to_xyxy
from quantdet.detections import Detections
from quantdet.runtime.contract import Contract, TensorSpec

Floats = NDArray[np.float32]
Decoder = Callable[[Floats, Floats, Contract, tuple[int, int]], Detections]
"""(boxes, scores, contract, original size_hw) → detections in pixels of the original."""


def dequantize(q: NDArray[Any], spec: TensorSpec) -> Floats:
    """Return ``(q - zero_point) * scale``; float tensors are returned as they are."""
    if spec.dtype == "float32":
        return q.astype(np.float32)
    steps = q.astype(np.int32) - spec.zero_point
    return (steps.astype(np.float32) * np.float32(spec.scale)).astype(np.float32)


def decode_single_box(
    boxes: Floats, scores: Floats, contract: Contract, size_hw: tuple[int, int]
) -> Detections:
    """Decode one box and class probabilities.

    Args:
        boxes: 4 values ymin, xmin, ymax, xmax as fractions of the picture.
        scores: probabilities of the classes, with background if the contract says so.
        contract: of the model.
        size_hw: of the original picture.
    """
    box = ordered(yxyx_norm_to_xyxy(as_boxes(boxes), size_hw))
    classes = _without_background(scores.reshape(1, -1), contract)
    return _best(clip(box, size_hw), classes, contract)


def decode_grid(
    boxes: Floats, scores: Floats, contract: Contract, size_hw: tuple[int, int]
) -> Detections:
    """Decode a square grid of cells; the cell with the highest class score answers.

    Args:
        boxes: (N, 4) distances left, top, right, bottom from the cell centre to the edges, as
            fractions of the picture; never negative, so boxes are always ordered.
        scores: (N, classes) logits.
        contract: of the model.
        size_hw: of the original picture.
    """
    distances = boxes.reshape(-1, 4)
    side = round(len(distances) ** 0.5)
    centre = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = np.tile(centre, side), np.repeat(centre, side)
    left, top, right, bottom = distances.T
    boxes_yxyx = np.stack([y - top, x - left, y + bottom, x + right], axis=1)
    logits = _without_background(scores.reshape(len(distances), -1), contract)
    probabilities: Floats = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
    return _best(
        clip(yxyx_norm_to_xyxy(as_boxes(boxes_yxyx), size_hw), size_hw), probabilities, contract
    )


def _without_background(scores: Floats, contract: Contract) -> Floats:
    if contract.background_index is None:
        return scores
    return np.delete(scores, contract.background_index, axis=-1)


def _best(boxes_xyxy: Floats, scores: Floats, contract: Contract) -> Detections:
    row, class_id = np.unravel_index(int(scores.argmax()), scores.shape)
    return Detections(
        boxes_xyxy[row : row + 1],
        scores[row, class_id].reshape(1).astype(np.float32),
        np.array([class_id], dtype=np.int64),
        contract.labels,
    )


DECODERS: dict[str, Decoder] = {"single_box": decode_single_box, "grid": decode_grid}
