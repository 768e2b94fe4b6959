"""The task's choices: which objects of a picture are learned. The reader leaves none out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import as_boxes, xyxy_to_yxyx_norm
from quantdet.config import TargetConfig
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.errors import DataError


@dataclass(frozen=True)
class SingleObjectTargets:
    """What a single-object model learns: one object a picture.

    Attributes:
        indices: int64 (N,), position of each kept sample in the sequence given.
        samples: the N kept samples.
        boxes_yxyx_norm: float32 (N, 4), ymin, xmin, ymax, xmax as fractions of the picture.
        class_ids: int64 (N,), index into the labels; background is not counted.
        dropped: how many samples had no object left.
    """

    indices: NDArray[np.int64]
    samples: tuple[Sample, ...]
    boxes_yxyx_norm: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    dropped: int


def select_objects(
    sample: Sample, *, skip_difficult: bool, skip_truncated: bool
) -> tuple[ObjectAnnotation, ...]:
    """Return the objects of ``sample`` that count, in file order."""
    return tuple(
        item
        for item in sample.objects
        if not (skip_difficult and item.difficult) and not (skip_truncated and item.truncated)
    )


def choose_object(
    objects: Sequence[ObjectAnnotation], how: Literal["first", "largest"]
) -> ObjectAnnotation | None:
    """Return the one object to learn, None if there is none.

    ``largest`` is by area; of equal areas the first in file order.
    """
    if not objects:
        return None
    return objects[0] if how == "first" else max(objects, key=_area)


def single_object_targets(
    samples: Sequence[Sample], labels: Sequence[str], target: TargetConfig
) -> SingleObjectTargets:
    """Choose one object of each sample; samples with none left are dropped and counted.

    Raises:
        DataError: the class of a chosen object is not in ``labels``.
    """
    ids = {name: class_id for class_id, name in enumerate(labels)}
    indices: list[int] = []
    boxes: list[NDArray[np.float32]] = []
    class_ids: list[int] = []
    for index, sample in enumerate(samples):
        objects = select_objects(
            sample, skip_difficult=target.skip_difficult, skip_truncated=target.skip_truncated
        )
        chosen = choose_object(objects, target.choose)
        if chosen is None:
            continue
        if chosen.label not in ids:
            raise DataError(
                f"{sample.image_id}: class {chosen.label!r} is not in the labels "
                f"({', '.join(labels)}); load the data set with the labels of the model"
            )
        indices.append(index)
        boxes.append(xyxy_to_yxyx_norm(as_boxes(chosen.box_xyxy), sample.size_hw)[0])
        class_ids.append(ids[chosen.label])
    return SingleObjectTargets(
        np.array(indices, dtype=np.int64),
        tuple(samples[index] for index in indices),
        as_boxes(boxes),
        np.array(class_ids, dtype=np.int64),
        len(samples) - len(indices),
    )


def _area(item: ObjectAnnotation) -> float:
    x1, y1, x2, y2 = item.box_xyxy
    return (x2 - x1) * (y2 - y1)
