"""Decoder "post_processed": models that decode and suppress inside the file."""

from __future__ import annotations

import numpy as np

from quantdet.boxes import as_boxes, clip, yxyx_norm_to_xyxy
from quantdet.detections import Detections
from quantdet.errors import ModelError
from quantdet.runtime.contract import Contract
from quantdet.runtime.nms import Indices, agnostic_nms
from quantdet.runtime.raw import Floats, Outputs, dequantize, output_specs, probabilities


def decode_post_processed(
    outputs: Outputs, contract: Contract, size_hw: tuple[int, int]
) -> Detections:
    """Decode the four outputs of TensorFlow Lite's operator TFLite_Detection_PostProcess.

    Args:
        outputs: "boxes" (1, N, 4) ymin, xmin, ymax, xmax as fractions of the picture; "scores"
            and "classes" (1, N), classes counted from 0 without background; "count" (1,), how
            many of them are meant.
        contract: of the model; its labels name every class that the file may answer.
        size_hw: of the original picture.

    Returns:
        Detections with ``score >= min_score``, best first; without those that have no area
        within the picture.

    Raises:
        ModelError: the contract names no "classes" or "count", or too few labels, or mixes the
            outputs up: a score is above 1.
    """
    real = _real(outputs, contract)
    used = _used(real["scores"], real["count"], contract.decoder.min_score)
    boxes = clip(yxyx_norm_to_xyxy(as_boxes(real["boxes"])[used], size_hw), size_hw)
    # A comparison with NaN is false.
    good = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    # Of the rows that are meant: what is behind them was never written.
    scores = probabilities(real["scores"][used], contract.scores)
    boxes, scores = boxes[good], scores[good]
    class_ids = np.round(real["classes"][used][good]).astype(np.int64)
    if class_ids.size and not 0 <= class_ids.min() <= class_ids.max() < len(contract.labels):
        raise ModelError(
            f"contract: the model answers class {class_ids.max()}, but labels names only "
            f"{len(contract.labels)} classes; name all, in the order of their numbers"
        )
    best = np.argsort(-scores, kind="stable")
    if contract.decoder.agnostic_nms:
        best = best[agnostic_nms(boxes[best], contract.decoder.nms_iou)]
    best = best[: contract.decoder.max_detections]
    return Detections(boxes[best], scores[best], class_ids[best], contract.labels)


def _real(outputs: Outputs, contract: Contract) -> dict[str, Floats]:
    """Return the four outputs as flat real values."""
    real = {
        part: dequantize(outputs[part], spec).reshape(-1)
        for part, spec in output_specs(contract).items()
    }
    for part in ("classes", "count"):
        if part not in real:
            raise ModelError(
                f"contract: decoder 'post_processed' needs the output {part!r}; name its tensor"
            )
    if len(real["boxes"]) != 4 * len(real["scores"]) or len(real["classes"]) != len(real["scores"]):
        shapes = {part: outputs[part].shape for part in real}
        raise ModelError(
            "decoder 'post_processed' needs a score and a class for each box, the model gives "
            f"{shapes}; name the right tensors in the contract"
        )
    return real


def _used(scores: Floats, count: Floats, min_score: float) -> Indices:
    """Return the indices of the rows that are detections."""
    meant = np.arange(len(scores)) < np.nan_to_num(count[0])
    return np.flatnonzero(meant & (scores >= np.float32(min_score)))
