"""Decoder "ssd": box offsets against anchors and one logit per anchor and class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, decode_boxes, exp_float32
from quantdet.detections import Detections
from quantdet.errors import ModelError
from quantdet.runtime.anchors import anchor_boxes
from quantdet.runtime.contract import AnchorMap, Contract, TensorSpec
from quantdet.runtime.nms import Indices
from quantdet.runtime.raw import Floats, Outputs, dequantize
from quantdet.runtime.suppress import MAX_CANDIDATES, suppressed

# The test on integers or logits lets a little more through; the score itself decides.
_LOGIT_SLACK = 1e-3
_HIGHEST = 1 - 1e-7
# Of centre steps (in anchor sizes) and of logarithms of sizes: far outside of any picture, and
# far below where float32 overflows.
_STEP_LIMITS = np.array([1e4, 1e4, 20.0, 20.0], dtype=np.float32)


def decode_ssd(outputs: Outputs, contract: Contract, size_hw: tuple[int, int]) -> Detections:
    """Decode anchors (Liu et al. 2016, arXiv:1512.02325), as the TF Object Detection API does.

    1. Anchor-class pairs with ``sigmoid(logit) >= min_score`` are candidates; on raw integers
       the test is one comparison. The best of them go on
       (:data:`quantdet.runtime.suppress.MAX_CANDIDATES`).
    2. Only their boxes are decoded, and clipped to the picture. What is not finite, or has no
       area within the picture, is dropped.
    3. Class-wise suppression; at most ``max_detections`` are answered.

    Raw integers and the float32 values they stand for give the same answer. Equal logits: the
    earlier anchor, then the earlier class, is first.

    Args:
        outputs: "boxes" (N, 4) or (1, N, 4), offsets ty, tx, th, tw; "scores" (N, C) or
            (1, N, C), logits, with a background column if the contract says so.
        contract: of the model.
        size_hw: of the original picture.

    Returns:
        Detections with ``score >= min_score``, best first.

    Raises:
        ModelError: the outputs do not have this layout.
    """
    anchors = contract_anchors(contract.decoder.anchors)
    boxes, scores = _rows(outputs, contract, len(anchors))
    found, logits = _candidates(scores, contract)
    found, logits = _best(found, logits)
    rows, columns = np.divmod(found, scores.shape[1])
    decoded = _decode(dequantize(boxes[rows], contract.boxes), anchors[rows], contract)
    real = _sigmoid(dequantize(logits, contract.scores))
    return suppressed(decoded, real, _class_ids(columns, contract), contract, size_hw)


@lru_cache(maxsize=8)
def contract_anchors(maps: Sequence[AnchorMap]) -> Boxes:
    """Return :func:`quantdet.runtime.anchors.anchor_boxes`, kept and read-only."""
    anchors = anchor_boxes(maps)
    anchors.setflags(write=False)
    return anchors


def _rows(
    outputs: Outputs, contract: Contract, anchors: int
) -> tuple[NDArray[np.number], NDArray[np.number]]:
    """Return boxes (N, 4) and scores (N, C) without the batch axis."""
    boxes, scores = outputs["boxes"], outputs["scores"]
    columns = len(contract.column_labels)
    if boxes.size != 4 * anchors or scores.size != columns * anchors:
        raise ModelError(
            f"decoder 'ssd': the contract's anchors are {anchors} and its classes {columns}, but "
            f"the model gives boxes {boxes.shape} and scores {scores.shape}; fix "
            "decoder.anchors or labels"
        )
    return boxes.reshape(anchors, 4), scores.reshape(anchors, columns)


def _candidates(
    scores: NDArray[np.number], contract: Contract
) -> tuple[Indices, NDArray[np.number]]:
    """Return flat indices of the scores that may reach ``min_score``, and those scores."""
    flat = scores.reshape(-1)
    limit = _lowest(contract.decoder.min_score, scores.dtype, contract.scores)
    found = np.flatnonzero(flat >= limit)
    if contract.background_index is not None:
        found = found[found % scores.shape[1] != contract.background_index]
    return found, flat[found]


def _lowest(min_score: float, dtype: np.dtype[Any], spec: TensorSpec) -> float:
    """Return the lowest value of an output whose sigmoid may reach ``min_score``."""
    p = min(min_score, _HIGHEST)
    logit = -math.inf if p <= 0 else math.log(p / (1 - p)) - _LOGIT_SLACK
    if np.issubdtype(dtype, np.floating):
        return logit
    limits = np.iinfo(dtype)
    # An int, because integers compared with a float are all converted first.
    return int(np.clip(np.ceil(logit / spec.scale + spec.zero_point), limits.min, limits.max))


def _best(found: Indices, values: NDArray[np.number]) -> tuple[Indices, NDArray[np.number]]:
    """Return the :data:`MAX_CANDIDATES` highest, best first; equal ones in index order."""
    # ~q falls as q rises, never overflows, and 8-bit integers are sorted in linear time.
    falling = -values if np.issubdtype(values.dtype, np.floating) else np.invert(values)
    order = np.argsort(falling, kind="stable")[:MAX_CANDIDATES]
    return found[order], values[order]


def _decode(encoded: Floats, anchors: Boxes, contract: Contract) -> Boxes:
    """Return boxes xyxy as fractions, clipped to the picture; NaN where the offsets are."""
    coder = np.asarray(contract.decoder.box_coder, dtype=np.float32)
    limits = _STEP_LIMITS * coder
    safe = np.clip(encoded, -limits, limits)
    return np.clip(decode_boxes(safe, anchors, contract.decoder.box_coder), 0.0, 1.0)


def _sigmoid(logits: Floats) -> Floats:
    # float32 overflows at exp(89).
    return (1.0 / (1.0 + exp_float32(-np.clip(logits, -80.0, 80.0)))).astype(np.float32)


def _class_ids(columns: Indices, contract: Contract) -> Indices:
    """Return label numbers of score columns, which may hold background."""
    if contract.background_index is None:
        return columns
    return columns - (columns > contract.background_index)
