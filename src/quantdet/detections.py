"""``Detections``: the one currency between model, evaluator, drawing and JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, as_boxes


@dataclass(frozen=True)
class Detections:
    """What a detector found in one picture, best first.

    Attributes:
        boxes_xyxy: float32 (N, 4), absolute pixels of the original picture, 0-based.
        scores: float32 (N,), in [0, 1].
        class_ids: int64 (N,), index into ``labels`` (background is not a label).
        labels: class names in contract order.
    """

    boxes_xyxy: Boxes
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    labels: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Check that the arrays belong together."""
        count = len(self.boxes_xyxy)
        if self.boxes_xyxy.shape != (count, 4):
            raise ValueError(f"boxes_xyxy has shape {self.boxes_xyxy.shape}, expected (N, 4)")
        if self.scores.shape != (count,) or self.class_ids.shape != (count,):
            raise ValueError(
                f"{count} boxes, but scores {self.scores.shape} and class_ids "
                f"{self.class_ids.shape}"
            )

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    @classmethod
    def empty(cls, labels: tuple[str, ...] = ()) -> Detections:
        """Return detections of nothing."""
        return cls(as_boxes([]), np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64), labels)

    def above(self, threshold: float | NDArray[np.floating]) -> Detections:
        """Return only the detections with ``score >= threshold``.

        Args:
            threshold: one score, or one of each label, shape (labels,).
        """
        lowest = np.asarray(threshold, dtype=np.float32)
        keep = self.scores >= (lowest[self.class_ids] if lowest.ndim else lowest)
        return Detections(
            self.boxes_xyxy[keep], self.scores[keep], self.class_ids[keep], self.labels
        )

    def names(self) -> list[str]:
        """Return the class name of each detection (its number where no labels are known)."""
        return [
            self.labels[i] if 0 <= i < len(self.labels) else str(i) for i in self.class_ids.tolist()
        ]

    def to_list(self) -> list[dict[str, Any]]:
        """Return JSON-ready records: label, class_id, score, box_xyxy in pixels."""
        return [
            {
                "label": name,
                "class_id": int(class_id),
                "score": round(float(score), 4),
                "box_xyxy": [round(float(v), 2) for v in box],
            }
            for name, class_id, score, box in zip(
                self.names(), self.class_ids, self.scores, self.boxes_xyxy, strict=True
            )
        ]
