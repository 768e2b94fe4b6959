"""What is really in the pictures, as arrays for the evaluators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, as_boxes
from quantdet.data.sample import Sample


@dataclass(frozen=True)
class Truth:
    """Annotated objects of one picture.

    Attributes:
        boxes_xyxy: float32 (N, 4), pixels of the original picture.
        class_ids: int64 (N,), index into the labels that are judged.
        difficult: bool (N,); such objects are neither to be found nor wrong to find.
        size_hw: of the original picture.
    """

    boxes_xyxy: Boxes
    class_ids: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    size_hw: tuple[int, int]


def truth_of(sample: Sample, labels: Sequence[str]) -> Truth:
    """Return the objects of a picture whose label is one of ``labels``; others are left out."""
    number = {label: i for i, label in enumerate(labels)}
    objects = [item for item in sample.objects if item.label in number]
    return Truth(
        as_boxes([item.box_xyxy for item in objects]),
        np.array([number[item.label] for item in objects], dtype=np.int64),
        np.array([item.difficult for item in objects], dtype=np.bool_),
        sample.size_hw,
    )
