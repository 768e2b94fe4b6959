"""The end of the decoders that suppress: candidates become the detections of one picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, clip
from quantdet.detections import Detections
from quantdet.runtime.contract import Contract
from quantdet.runtime.nms import Indices, class_wise_nms
from quantdet.runtime.raw import Floats

MAX_CANDIDATES = 2000
"""Most box-class pairs that are decoded, the best of all classes; it bounds the time.

On 200 VOC pictures with Google's Open Images SSD, where at min_score 0.01 a median of 4600 and at
most 14065 pairs are candidates, 1000 and more change no answer; 500 change five.
"""


def suppressed(
    boxes: Boxes,
    scores: Floats,
    class_ids: Indices,
    contract: Contract,
    size_hw: tuple[int, int],
) -> Detections:
    """Return what is left of candidates: good enough, within the picture, and no duplicates.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 as fractions of the picture, cut to it; NaN is dropped.
        scores: (N,), best first.
        class_ids: (N,), numbers of labels.
        contract: of the model.
        size_hw: of the picture.

    Returns:
        Detections with ``score >= min_score``, best first, at most ``max_detections``.
    """
    decoder = contract.decoder
    valid = (scores >= np.float32(decoder.min_score)) & _has_area(boxes)
    boxes, scores, class_ids = boxes[valid], scores[valid], class_ids[valid]
    kept = class_wise_nms(
        boxes,
        np.zeros_like(class_ids) if decoder.agnostic_nms else class_ids,
        iou=decoder.nms_iou,
        most=decoder.max_detections,
    )
    height, width = size_hw
    scale = np.array([width, height, width, height], dtype=np.float32)
    # Rounding may lift a product above the picture's side.
    in_pixels = clip(boxes[kept] * scale, size_hw)
    return Detections(in_pixels, scores[kept], class_ids[kept], contract.labels)


def _has_area(boxes_xyxy: Boxes) -> NDArray[np.bool_]:
    # A comparison with NaN is false.
    wide = boxes_xyxy[:, 2] > boxes_xyxy[:, 0]
    high = boxes_xyxy[:, 3] > boxes_xyxy[:, 1]
    both: NDArray[np.bool_] = np.logical_and(wide, high)
    return both
