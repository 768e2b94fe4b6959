"""What is right: the annotated objects of a picture, as every metric takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, as_boxes
from quantdet.data.sample import Sample
from quantdet.detections import Detections
from quantdet.errors import DataError


@dataclass(frozen=True)
class Truth:
    """Every annotated object of one picture.

    Attributes:
        boxes_xyxy: float32 (N, 4), pixels, 0-based, x2 - x1 is the width.
        class_ids: int64 (N,).
        difficult: bool (N,); such objects count neither way.
    """

    boxes_xyxy: Boxes
    class_ids: NDArray[np.int64]
    difficult: NDArray[np.bool_]

    def as_detections(self, labels: tuple[str, ...]) -> Detections:
        """Return the objects as a perfect detector would, e.g. to draw them."""
        scores = np.ones(len(self.class_ids), np.float32)
        return Detections(self.boxes_xyxy, scores, self.class_ids, labels)


def truth_of(sample: Sample, labels: Sequence[str]) -> Truth:
    """Return the objects of a picture, in file order.

    Raises:
        DataError: the class of an object is not in ``labels``.
    """
    ids = {name: class_id for class_id, name in enumerate(labels)}
    unknown = [item.label for item in sample.objects if item.label not in ids]
    if unknown:
        raise DataError(
            f"{sample.image_id}: class {unknown[0]!r} is not in the labels ({', '.join(ids)}); "
            "load the data set with the labels of the model"
        )
    return Truth(
        as_boxes([item.box_xyxy for item in sample.objects]),
        np.array([ids[item.label] for item in sample.objects], dtype=np.int64),
        np.array([item.difficult for item in sample.objects], dtype=np.bool_),
    )


def translate(detections: Detections, labels: Sequence[str]) -> Detections:
    """Return detections with the class ids of ``labels``; those of other classes are left out."""
    ids = {name: class_id for class_id, name in enumerate(labels)}
    new_ids = np.array([ids.get(name, -1) for name in detections.labels], dtype=np.int64)
    class_ids = new_ids[detections.class_ids] if len(detections) else detections.class_ids
    known = class_ids >= 0
    return Detections(
        detections.boxes_xyxy[known], detections.scores[known], class_ids[known], tuple(labels)
    )


def restrict(truth: Truth, labels: Sequence[str], wanted: Sequence[str]) -> Truth:
    """Return the objects of the ``wanted`` classes only, with class ids into ``wanted``."""
    ids = np.array([wanted.index(label) if label in wanted else -1 for label in labels])
    class_ids = ids[truth.class_ids]
    kept = class_ids >= 0
    return Truth(truth.boxes_xyxy[kept], class_ids[kept], truth.difficult[kept])
