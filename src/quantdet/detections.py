"""``Detections``: the one currency between model, evaluator, drawing and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, as_boxes
from quantdet.errors import DependencyError

if TYPE_CHECKING:
    import supervision

# Detections that a line shows.
_SHOWN = 4
Which = slice | list[int] | NDArray[np.bool_] | NDArray[np.integer]
"""Some of several detections: a slice, places, or a mask (N,)."""


class FoundBox(TypedDict):
    """JSON-ready record of one object."""

    label: str
    class_id: int
    score: float
    box_xyxy: list[float]


class Detection(NamedTuple):
    """One object.

    Attributes:
        label: class name, or the number of the class where no labels are known.
        class_id: index of the class.
        score: in [0, 1].
        box_xyxy: pixels of the original picture.
    """

    label: str
    class_id: int
    score: float
    box_xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class Detections:
    """What a detector found in one picture, best first.

    ``found[0]`` is one :class:`Detection`, ``found[:3]`` and ``found[found.scores > 0.8]`` are
    Detections; iteration gives one after the other.

    Attributes:
        boxes_xyxy: float32 (N, 4), absolute pixels of the original picture, 0-based.
        scores: float32 (N,), in [0, 1].
        class_ids: int64 (N,), index into ``labels`` (background is not a label).
        labels: class names in contract order.
        draw: gives a PNG of the picture with the boxes of such detections, for notebooks; it, or
            what it gives, is None where the picture is not known.
    """

    boxes_xyxy: Boxes
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    labels: tuple[str, ...] = field(default=())
    draw: Callable[[Detections], bytes | None] | None = field(default=None, compare=False)

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

    @overload
    def __getitem__(self, which: int | np.integer) -> Detection: ...
    @overload
    def __getitem__(self, which: Which) -> Detections: ...
    def __getitem__(self, which: int | np.integer | Which) -> Detection | Detections:
        if isinstance(which, int | np.integer):
            x1, y1, x2, y2 = map(float, self.boxes_xyxy[which])
            class_id = int(self.class_ids[which])
            return Detection(
                self._name(class_id), class_id, float(self.scores[which]), (x1, y1, x2, y2)
            )
        return Detections(
            self.boxes_xyxy[which],
            self.scores[which],
            self.class_ids[which],
            self.labels,
            self.draw,
        )

    def __iter__(self) -> Iterator[Detection]:
        return (self[place] for place in range(len(self)))

    def __repr__(self) -> str:
        shown = [f"{item.label} {item.score:.2f}" for item in self[:_SHOWN]]
        more = ["…"] if len(self) > _SHOWN else []
        return f"Detections({len(self)}{': ' if shown else ''}{', '.join([*shown, *more])})"

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows: the picture with these boxes, where it is known."""
        return None if self.draw is None else self.draw(self)

    def __reduce__(self) -> tuple[type[Detections], tuple[object, ...]]:
        # Another process does not know the picture.
        return Detections, (self.boxes_xyxy, self.scores, self.class_ids, self.labels)

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
        return self[self.scores >= (lowest[self.class_ids] if lowest.ndim else lowest)]

    def names(self) -> list[str]:
        """Return the class name of each detection (its number where no labels are known)."""
        return [self._name(class_id) for class_id in self.class_ids.tolist()]

    def _name(self, class_id: int) -> str:
        return self.labels[class_id] if 0 <= class_id < len(self.labels) else str(class_id)

    def to_list(self) -> list[FoundBox]:
        """Return JSON-ready records: label, class_id, score, box_xyxy in pixels."""
        return [
            {
                "label": item.label,
                "class_id": item.class_id,
                "score": round(item.score, 4),
                "box_xyxy": [round(value, 2) for value in item.box_xyxy],
            }
            for item in self
        ]

    def to_records(self) -> list[dict[str, str | int | float]]:
        """Return flat records, rows of a table: label, class_id, score, x1, y1, x2, y2."""
        return [
            {
                "label": item["label"],
                "class_id": item["class_id"],
                "score": item["score"],
                **dict(zip(("x1", "y1", "x2", "y2"), item["box_xyxy"], strict=True)),
            }
            for item in self.to_list()
        ]

    def to_supervision(self) -> supervision.Detections:
        """Return the same as ``supervision.Detections``, for its annotators and trackers.

        Raises:
            DependencyError: package ``supervision`` is not installed.
        """
        try:
            module = import_module("supervision")
        except ImportError:
            raise DependencyError("supervision is not installed: pip install supervision") from None
        return module.Detections(
            xyxy=self.boxes_xyxy,
            confidence=self.scores,
            class_id=self.class_ids,
            data={"class_name": np.array(self.names(), dtype=str)},
        )
