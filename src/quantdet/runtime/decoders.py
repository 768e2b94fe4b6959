"""Model outputs become boxes: one function per output layout, found by ``DECODERS[kind]``.

One code for evaluation, ``predict`` and the parity check. A decoder gets the outputs of one
picture, raw integers or real values, and returns detections, best first and not yet cut by the
thresholds of :mod:`quantdet.runtime.thresholds`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from quantdet.boxes import Boxes, as_boxes, clip, ordered, yxyx_norm_to_xyxy
from quantdet.detections import Detections
from quantdet.errors import ModelError
from quantdet.runtime.contract import Contract
from quantdet.runtime.decode_post_processed import decode_post_processed
from quantdet.runtime.decode_ssd import decode_ssd
from quantdet.runtime.decode_yolo import decode_yolo, decode_yolo_objectness
from quantdet.runtime.letterbox import Placement
from quantdet.runtime.raw import Floats, Outputs, dequantize, probabilities

__all__ = ["DECODERS", "Decoder", "Outputs", "decode", "dequantize", "find_decoder"]

Decoder = Callable[[Outputs, Contract, tuple[int, int]], Detections]
"""(outputs, contract, size_hw) → detections in pixels of a picture of that size.

The picture fills the input; a border around it is what :func:`decode` sees to."""

ENTRY_POINTS = "quantdet.decoders"
"""Entry points of installed packages that bring decoders: name = "module:function"."""


def decode(outputs: Outputs, contract: Contract, size_hw: tuple[int, int]) -> Detections:
    """Return the detections of one picture, decoded as the contract says.

    Args:
        outputs: see :data:`quantdet.runtime.raw.Outputs`; with or without a batch axis of 1.
        contract: of the model.
        size_hw: of the original picture.

    Raises:
        ModelError: the outputs do not have the layout of ``contract.decoder.kind``, a score is
            above 1, or the kind is unknown.
    """
    decoder = find_decoder(contract.decoder.kind)
    if contract.input.letterbox is None:
        return decoder(outputs, contract, size_hw)
    input_hw = contract.input.size_hw
    found = decoder(outputs, contract, input_hw)
    return Placement.of(size_hw, input_hw).to_original(found)


def find_decoder(kind: str) -> Decoder:
    """Return a decoder of :data:`DECODERS`, or one that an installed package brings.

    A package names its function under the entry point group :data:`ENTRY_POINTS`. A contract can
    only choose among these: what comes with a model runs no code.

    Raises:
        ModelError: there is none of that name.
    """
    if kind not in DECODERS:
        DECODERS.update(_installed(kind))
    if kind not in DECODERS:
        raise ModelError(
            f"decoder {kind!r} is unknown, this version knows {sorted(DECODERS)}; update quantdet, "
            f"or install the package that brings it (entry point group {ENTRY_POINTS!r})"
        )
    return DECODERS[kind]


@lru_cache
def _installed(kind: str) -> dict[str, Decoder]:
    from importlib.metadata import entry_points

    found = entry_points(group=ENTRY_POINTS, name=kind)
    return {item.name: item.load() for item in found}


def decode_single_box(outputs: Outputs, contract: Contract, size_hw: tuple[int, int]) -> Detections:
    """Decode one box and class probabilities.

    Args:
        outputs: "boxes", 4 values ymin, xmin, ymax, xmax as fractions of the picture; the
            corners may be swapped, the result is ordered. "scores", probabilities of the
            classes, with background if the contract says so.
        contract: of the model.
        size_hw: of the original picture.

    Returns:
        One detection: the best class that is not background.

    Raises:
        ModelError: the outputs do not have this layout.
    """
    boxes = dequantize(outputs["boxes"], contract.boxes)
    scores = probabilities(outputs["scores"], contract.scores)
    if boxes.size != 4:
        raise ModelError(f"decoder 'single_box' needs one box, the model gives {boxes.shape}")
    box = ordered(yxyx_norm_to_xyxy(as_boxes(boxes), size_hw))
    classes = _without_background(scores.reshape(1, -1), contract)
    if classes.size != len(contract.labels):
        raise ModelError(f"decoder 'single_box' needs one score a class, not {scores.shape}")
    class_id = int(classes[0].argmax())
    return _one(clip(box, size_hw), float(classes[0, class_id]), class_id, contract)


def decode_grid(outputs: Outputs, contract: Contract, size_hw: tuple[int, int]) -> Detections:
    """Decode a square grid of cells; the cell with the highest class score answers.

    With side = √N, cell i has its centre at
    ``x = (i mod side + 0.5) / side, y = (i div side + 0.5) / side`` (FCOS on one level, Tian et
    al. 2019, arXiv:1904.01355).

    Args:
        outputs: "boxes" (N, 4) or (1, N, 4), distances left, top, right, bottom from the cell
            centre to the edges, as fractions of the picture; not negative, so boxes are always
            ordered. "scores" (N, classes) or (1, N, classes), logits.
        contract: of the model.
        size_hw: of the original picture.

    Returns:
        One detection; its score is the sigmoid of the best logit.

    Raises:
        ModelError: the outputs do not have this layout.
    """
    boxes = dequantize(outputs["boxes"], contract.boxes)
    scores = dequantize(outputs["scores"], contract.scores)
    distances = boxes.reshape(-1, 4)
    side = math.isqrt(len(distances))
    if side * side != len(distances) or scores.size % len(distances):
        raise ModelError(
            f"decoder 'grid' needs a square number of cells with scores each, the model gives "
            f"boxes {boxes.shape} and scores {scores.shape}"
        )
    logits = _without_background(scores.reshape(len(distances), -1), contract)
    cell, class_id = (int(i) for i in np.unravel_index(int(logits.argmax()), logits.shape))
    left, top, right, bottom = distances[cell].tolist()
    x, y = (cell % side + 0.5) / side, (cell // side + 0.5) / side
    box = yxyx_norm_to_xyxy(as_boxes([y - top, x - left, y + bottom, x + right]), size_hw)
    return _one(clip(box, size_hw), _sigmoid(float(logits[cell, class_id])), class_id, contract)


def _without_background(scores: Floats, contract: Contract) -> Floats:
    if contract.background_index is None:
        return scores
    return np.delete(scores, contract.background_index, axis=-1)


def _sigmoid(logit: float) -> float:
    # This form cannot overflow.
    return 0.5 * (1.0 + math.tanh(0.5 * logit))


def _one(box_xyxy: Boxes, score: float, class_id: int, contract: Contract) -> Detections:
    return Detections(
        box_xyxy,
        np.array([score], dtype=np.float32),
        np.array([class_id], dtype=np.int64),
        contract.labels,
    )


DECODERS: dict[str, Decoder] = {
    "single_box": decode_single_box,
    "grid": decode_grid,
    "ssd": decode_ssd,
    "post_processed": decode_post_processed,
    "yolo": decode_yolo,
    "yolo_objectness": decode_yolo_objectness,
}
"""Contract's ``decoder.kind`` → function."""
