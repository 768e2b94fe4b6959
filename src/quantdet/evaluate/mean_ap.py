"""Average precision as PASCAL VOC defines it (Everingham et al. 2010, section 4.2; VOCdevkit).

A detection is right if it overlaps an annotated object of its class with IoU >= 0.5. As in
``VOCevaldet.m``, detections are taken best first, and each is compared with the one object of its
class that it overlaps most: if that object is difficult, the detection counts neither way; if an
earlier detection has claimed it, the detection is a false positive, even if it also overlaps
another object. Equal scores: the earlier picture is first.

VOCdevkit adds 1 to every width, because its boxes are 1-based and inclusive: an object of one pixel
has xmin = xmax. Our boxes have x1 = xmin - 1 and x2 = xmax, so that

    min(xmax, xmax') - max(xmin, xmin') + 1 = min(x2, x2') - max(x1, x1'),

and the IoU here, without any "+1", is VOCdevkit's of the same boxes; detections count as
xmin = x1 + 1, xmax = x2 likewise.

Matching is done once; weights of the pictures, e.g. of a bootstrap, come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import iou_matrix
from quantdet.detections import Detections
from quantdet.evaluate.truth import Truth

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

MATCH_IOU = 0.5
RECALL_LEVELS: Floats = np.arange(51) / 50
"""Where the precision–recall curves that are kept have their points."""

# As the field's tools have them: multiples of the float 0.1. Three lie a hair above 0.3, 0.6 and
# 0.7, so that 3 of 10 objects do not reach the fourth. With few objects in a class that costs up to
# half a point of mean AP, in published figures too; exact levels would flatter beside them.
_VOC07_LEVELS: Floats = np.arange(11) * np.float64(0.1)
WRONG, RIGHT, IGNORED = 0, 1, -1
"""Outcomes of :func:`judge_picture`."""


@dataclass(frozen=True)
class ClassMatches:
    """Judged detections of one class, best first; those that count neither way are left out.

    Attributes:
        scores: (M,).
        pictures: (M,), index of the picture of each.
        right: (M,), true or false positive.
        objects: (pictures,), annotated objects that are not difficult.
    """

    scores: NDArray[np.float32]
    pictures: Counts
    right: NDArray[np.bool_]
    objects: Counts


def match_detections(
    answers: Sequence[Detections],
    truths: Sequence[Truth],
    num_classes: int,
    iou: float = MATCH_IOU,
) -> list[ClassMatches]:
    """Judge every detection; see the module for the rules.

    Args:
        answers: detections of each picture, in any order.
        truths: annotated objects of each picture.
        num_classes: number of labels; class ids of both sides are below it.
        iou: lowest overlap of a right box.

    Returns:
        One entry for each class.
    """
    parts = [judge_picture(found, truth, iou) for found, truth in zip(answers, truths, strict=True)]
    outcome = np.concatenate([np.zeros(0, np.int8), *parts])
    scores = np.concatenate([np.zeros(0, np.float32), *(found.scores for found in answers)])
    class_ids = np.concatenate([np.zeros(0, np.int64), *(found.class_ids for found in answers)])
    pictures = np.repeat(np.arange(len(answers)), [len(found) for found in answers])
    counted = outcome != IGNORED
    judged = JudgedDetections(
        scores[counted], class_ids[counted], pictures[counted], outcome[counted] == RIGHT
    )
    return judged.by_class(count_objects(truths, num_classes))


def count_objects(truths: Sequence[Truth], num_classes: int) -> Counts:
    """Return how many objects that are not difficult there are, shape (classes, pictures)."""
    objects = np.zeros((num_classes, len(truths)), np.int64)
    for picture, truth in enumerate(truths):
        objects[:, picture] = np.bincount(truth.class_ids[~truth.difficult], minlength=num_classes)
    return objects


@dataclass(frozen=True)
class JudgedDetections:
    """Detections of all pictures that count, in the order of pictures.

    Attributes:
        scores: (M,).
        class_ids: (M,).
        pictures: (M,), index of the picture of each.
        right: (M,), true or false positive.
    """

    scores: NDArray[np.float32]
    class_ids: Counts
    pictures: Counts
    right: NDArray[np.bool_]

    def by_class(self, objects: Counts) -> list[ClassMatches]:
        """Return one entry for each row of ``objects``, see :func:`count_objects`."""
        order = np.argsort(-self.scores, kind="stable")
        by_class = (order[self.class_ids[order] == class_id] for class_id in range(len(objects)))
        return [
            ClassMatches(self.scores[rows], self.pictures[rows], self.right[rows], objects[number])
            for number, rows in enumerate(by_class)
        ]


def judge_picture(found: Detections, truth: Truth, iou: float = MATCH_IOU) -> NDArray[np.int8]:
    """Return ``RIGHT``, ``WRONG`` or ``IGNORED`` for each detection of a picture."""
    outcome = np.full(len(found), WRONG, np.int8)
    if not len(found) or not len(truth.class_ids):
        return outcome
    overlap = iou_matrix(found.boxes_xyxy, truth.boxes_xyxy)
    overlap[found.class_ids[:, None] != truth.class_ids[None, :]] = -1.0
    best = overlap.argmax(axis=1)
    enough = overlap.max(axis=1) >= iou
    order = np.argsort(-found.scores, kind="stable")
    claims = order[enough[order]]
    # The first, that is the best, claim of each object is right.
    _, first = np.unique(best[claims], return_index=True)
    outcome[claims[first]] = RIGHT
    outcome[enough & truth.difficult[best]] = IGNORED
    return outcome


def voc07_ap(matches: ClassMatches, weights: Counts | None = None) -> Floats:
    """Return the 11-point AP of VOC2007: mean of the best precision at recall >= 0, 0.1 … 1.

    Args:
        matches: of one class.
        weights: (B, pictures), how often each picture counts in each of B draws; None: once, in
            one draw.

    Returns:
        (B,), 0 to 1; NaN where no object is drawn.
    """
    curve = _curves(matches, weights)
    mean: Floats = _interpolated(curve, _VOC07_LEVELS).mean(axis=1)
    return mean


def voc10_ap(matches: ClassMatches, weights: Counts | None = None) -> Floats:
    """Return the AP of VOC2010 and later: area below the curve made monotonous.

    Args and Returns: as :func:`voc07_ap`.
    """
    curve = _curves(matches, weights)
    steps = np.diff(curve.recalled, axis=1, prepend=0)
    area = (steps * curve.best_precision[:, :-1]).sum(axis=1)
    return _share(area, curve.objects)


def precision_at_recall(matches: ClassMatches) -> Floats:
    """Return the best precision from each of :data:`RECALL_LEVELS` on, shape (levels,).

    That is the interpolated precision–recall curve; NaN where the class has no object.
    """
    curve: Floats = _interpolated(_curves(matches, None), RECALL_LEVELS)[0]
    return curve


def mean_over_classes(per_class: Floats) -> Floats:
    """Return the mean over classes (the first axis); classes without objects, NaN, are left out.

    NaN where no class is left.
    """
    known = ~np.isnan(per_class)
    total = np.where(known, per_class, 0.0).sum(axis=0)
    return _share(total, known.sum(axis=0))


ApFunction = Callable[[ClassMatches, Counts | None], Floats]
AP_KINDS: dict[str, ApFunction] = {"voc07": voc07_ap, "voc10": voc10_ap}
"""Name of an average precision → function."""


@dataclass(frozen=True)
class _Curves:
    """Precision–recall curves of B draws, at the right detections only.

    A wrong detection never raises precision, so that the best precision from some recall on is
    reached at a right one. A picture drawn twice brings each detection twice, one after the other:
    the second of two right ones has the higher precision, so that its point is enough.

    Attributes:
        recalled: (B, R), weighted number of right detections up to each.
        best_precision: (B, R + 1), highest precision at it or later; 0 in the last column.
        objects: (B,), weighted number of objects.
    """

    recalled: Counts
    best_precision: Floats
    objects: Counts


def _curves(matches: ClassMatches, weights: Counts | None) -> _Curves:
    if weights is None:
        weights = np.ones((1, len(matches.objects)), np.int64)
    # What comes after the last right detection changes no curve.
    right = np.flatnonzero(matches.right)
    seen = right[-1] + 1 if len(right) else 0
    weight = weights[:, matches.pictures[:seen]]
    found = np.cumsum(weight, axis=1)[:, right]
    recalled = np.cumsum(weight[:, right], axis=1)
    precision = recalled / np.maximum(found, 1)
    best = np.zeros((len(weights), len(right) + 1))
    best[:, :-1] = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return _Curves(recalled, best, weights @ matches.objects)


def _interpolated(curve: _Curves, levels: Floats) -> Floats:
    """Return the best precision at recall >= each level, shape (B, levels)."""
    recall = curve.recalled / np.maximum(curve.objects, 1)[:, None]
    rows = np.arange(len(recall))
    first = ((recall < level).sum(axis=1) for level in levels)
    values = np.stack([curve.best_precision[rows, column] for column in first], axis=1)
    values[curve.objects == 0] = np.nan
    return values


def _share(part: Floats, whole: Counts) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
