"""Accuracy of a single-object model: right class, and box near the annotated one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, as_boxes, iou_pairs
from quantdet.detections import Detections

HIT_IOU = 0.5


@dataclass(frozen=True)
class SingleObjectMetrics:
    """Means over the pictures that have a target.

    Attributes:
        pictures: how many were judged.
        class_accuracy: share with the right class, 0 to 1.
        mean_iou: mean IoU of the answered with the annotated box, whatever the class.
        hit_share: share with the right class and IoU >= 0.5.
        ordered_share: share of boxes with x1 <= x2 and y1 <= y2; less than 1 is a defect.
    """

    pictures: int
    class_accuracy: float
    mean_iou: float
    hit_share: float
    ordered_share: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


def single_object_metrics(
    answers: Sequence[Detections], boxes_xyxy: Boxes, class_ids: NDArray[np.int64]
) -> SingleObjectMetrics:
    """Judge one answer per picture; a picture without an answer counts as wrong.

    Args:
        answers: detections of each picture, best first; only the best is judged.
        boxes_xyxy: annotated boxes (N, 4) in pixels of the original pictures.
        class_ids: annotated classes (N,), without background.
    """
    found = as_boxes([best.boxes_xyxy[0] if len(best) else (0, 0, 0, 0) for best in answers])
    classes = np.array([best.class_ids[0] if len(best) else -1 for best in answers])
    iou = iou_pairs(found, boxes_xyxy)
    right = classes == class_ids
    ordered = (found[:, :2] <= found[:, 2:]).all(axis=1)
    return SingleObjectMetrics(
        pictures=len(answers),
        class_accuracy=float(right.mean()),
        mean_iou=float(iou.mean()),
        hit_share=float((right & (iou >= HIT_IOU)).mean()),
        ordered_share=float(ordered.mean()),
    )
