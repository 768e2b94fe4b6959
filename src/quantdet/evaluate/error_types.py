"""Where boxes go wrong: every false positive and every missed object gets one of six types.

Bolya et al. 2020, "TIDE" (arXiv:2008.08115), section 2. With t_f = 0.5 and t_b = 0.1, a wrong
detection gets the first type that applies:

    localisation   IoU with an object of its class in [t_b, t_f)
    class          IoU >= t_f with an object of another class
    duplicate      IoU >= t_f with an object of its class that a better detection has found
    background     IoU < t_b with every object
    both           the rest: another class, and IoU in [t_b, t_f)

and an object is "missed" if nothing has found it and no localisation or class error is about it.
Which detections are right is VOC's rule (``mean_ap``); difficult objects are no objects here.

What a kind of error costs is the mean AP with it fixed, minus the mean AP as it is (section 2.3):
localisation and class errors become right, the best one of an object that was not found, the
others of that object go; duplicate, background and both go; missed objects are no longer asked
for. The costs do not add up to what is missing to 100 %, because AP is no sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import iou_matrix
from quantdet.detections import Detections
from quantdet.evaluate.mean_ap import (
    IGNORED,
    MATCH_IOU,
    RIGHT,
    ApFunction,
    Counts,
    JudgedDetections,
    count_objects,
    judge_picture,
    mean_over_classes,
)
from quantdet.evaluate.truth import Truth

KINDS = ("localisation", "class", "both", "duplicate", "background")
"""Kinds of wrong detections; the number of a kind is its place here."""
MISSED = "missed"
BACKGROUND_IOU = 0.1

_LOCALISATION, _CLASS, _BOTH, _DUPLICATE, _BACKGROUND = range(len(KINDS))
_FIXABLE = (_LOCALISATION, _CLASS)
_NONE = -1


@dataclass(frozen=True)
class PictureErrors:
    """One picture; N detections that count, best first, and M objects that are not difficult.

    Attributes:
        detections: the detections.
        class_ids: (M,) of the objects.
        kinds: (N,), place in ``KINDS``; -1 for right ones.
        objects: (N,), the object that a detection is right about or a class or localisation
            error is about; -1 for others.
        found: (M,), whether a right detection has the object.
    """

    detections: Detections
    class_ids: Counts
    kinds: NDArray[np.int64]
    objects: Counts
    found: NDArray[np.bool_]

    @property
    def missed(self) -> NDArray[np.bool_]:
        """(M,), objects that nothing has found and no error explains."""
        left = ~self.found
        left[self.objects[np.isin(self.kinds, _FIXABLE)]] = False
        return left

    def counts(self) -> Counts:
        """Return how many errors of each of ``KINDS``, then missed objects, shape (6,)."""
        wrong = np.bincount(self.kinds[self.kinds >= 0], minlength=len(KINDS))
        return np.append(wrong, self.missed.sum())

    def fixes(self, kind: int) -> NDArray[np.bool_]:
        """Return (N,), the errors of a kind that become right: an object's best, if not found."""
        rows = np.flatnonzero(self.kinds == kind)
        rows = rows[~self.found[self.objects[rows]]]
        _, first = np.unique(self.objects[rows], return_index=True)
        fixed = np.zeros(len(self.kinds), np.bool_)
        fixed[rows[first]] = True
        return fixed


def picture_errors(found: Detections, truth: Truth) -> PictureErrors:
    """Give every wrong detection of a picture its kind; see the module for the rules."""
    outcome = judge_picture(found, truth)
    order = np.argsort(-found.scores, kind="stable")
    order = order[outcome[order] != IGNORED]
    detections = Detections(
        found.boxes_xyxy[order], found.scores[order], found.class_ids[order], found.labels
    )
    class_ids, boxes = truth.class_ids[~truth.difficult], truth.boxes_xyxy[~truth.difficult]
    right = outcome[order] == RIGHT
    if not len(class_ids):
        nothing = np.full(len(order), _NONE, np.int64)
        kinds = np.full(len(order), _BACKGROUND, np.int64)
        return PictureErrors(detections, class_ids, kinds, nothing, np.zeros(0, np.bool_))
    overlap = iou_matrix(detections.boxes_xyxy, boxes)
    same_class = detections.class_ids[:, None] == class_ids[None, :]
    same, other = np.where(same_class, overlap, 0.0), np.where(same_class, 0.0, overlap)
    near, crossed = same.max(axis=1), other.max(axis=1)
    kinds = np.select(
        [
            right,
            (near >= BACKGROUND_IOU) & (near < MATCH_IOU),
            crossed >= MATCH_IOU,
            near >= MATCH_IOU,
            overlap.max(axis=1) < BACKGROUND_IOU,
        ],
        [_NONE, _LOCALISATION, _CLASS, _DUPLICATE, _BACKGROUND],
        _BOTH,
    )
    objects = np.select(
        [right | (kinds == _LOCALISATION), kinds == _CLASS],
        [same.argmax(axis=1), other.argmax(axis=1)],
        _NONE,
    )
    hit = np.zeros(len(class_ids), np.bool_)
    hit[objects[right]] = True
    return PictureErrors(detections, class_ids, kinds, objects, hit)


def count_errors(errors: Sequence[PictureErrors]) -> dict[str, int]:
    """Return kind → how many there are, and "right" → right detections."""
    total = sum((item.counts() for item in errors), np.zeros(len(KINDS) + 1, np.int64))
    right = sum(int(item.found.sum()) for item in errors)
    return {"right": right, **dict(zip((*KINDS, MISSED), total.tolist(), strict=True))}


def confusion_matrix(errors: Sequence[PictureErrors], num_classes: int) -> Counts:
    """Return how often objects of a class (row) were found as a class (column).

    An object that no right detection has counts in the column of its best class error, or in the
    last column: not found. The last row holds every other wrong detection: nothing there, a
    duplicate, or a box too far off. Difficult objects count neither way.

    Returns:
        (num_classes + 1, num_classes + 1).
    """
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    for item in errors:
        answered = np.full(len(item.class_ids), num_classes)
        answered[item.found] = item.class_ids[item.found]
        crossed = item.fixes(_CLASS)
        answered[item.objects[crossed]] = item.detections.class_ids[crossed]
        np.add.at(counts, (item.class_ids, answered), 1)
        stray = (item.kinds >= 0) & ~crossed
        np.add.at(counts[num_classes], item.detections.class_ids[stray], 1)
    return counts


def error_costs(
    errors: Sequence[PictureErrors], truths: Sequence[Truth], num_classes: int, ap: ApFunction
) -> dict[str, float]:
    """Return kind → mean AP gained by fixing all errors of that kind, 0 to 1.

    Args:
        errors: of detections that no threshold has cut.
        truths: annotated objects of each picture.
        num_classes: number of labels.
        ap: average precision to take the mean of.
    """
    whole = _Joined.of(errors)
    objects = count_objects(truths, num_classes)

    def mean(judged: JudgedDetections, asked: Counts) -> float:
        values = np.array([ap(item, None)[0] for item in judged.by_class(asked)])
        return float(mean_over_classes(values))

    now = mean(whole.fixed(_NONE, errors), objects)
    costs = {
        name: mean(whole.fixed(kind, errors), objects) - now for kind, name in enumerate(KINDS)
    }
    missed = np.zeros_like(objects)
    for picture, item in enumerate(errors):
        missed[:, picture] = np.bincount(item.class_ids[item.missed], minlength=num_classes)
    # A class whose every object is missed has no AP left; it stays in the mean with what it had.
    asked = np.where((objects.sum(axis=1) > missed.sum(axis=1))[:, None], objects - missed, objects)
    costs[MISSED] = mean(whole.fixed(_NONE, errors), asked) - now
    return costs


@dataclass(frozen=True)
class _Joined:
    """The detections of all pictures, one after the other."""

    judged: JudgedDetections
    kinds: NDArray[np.int64]
    true_classes: Counts

    @classmethod
    def of(cls, errors: Sequence[PictureErrors]) -> _Joined:
        detections = [item.detections for item in errors]
        kinds = np.concatenate([np.zeros(0, np.int64), *(item.kinds for item in errors)])
        judged = JudgedDetections(
            np.concatenate([np.zeros(0, np.float32), *(item.scores for item in detections)]),
            np.concatenate([np.zeros(0, np.int64), *(item.class_ids for item in detections)]),
            np.repeat(np.arange(len(errors)), [len(item) for item in detections]),
            kinds == _NONE,
        )
        return cls(judged, kinds, np.concatenate([np.zeros(0, np.int64), *map(_asked, errors)]))

    def fixed(self, kind: int, errors: Sequence[PictureErrors]) -> JudgedDetections:
        """Return what counts once the errors of a kind are fixed; none for -1."""
        judged = self.judged
        if kind == _NONE:
            return judged
        fixed = np.zeros(len(self.kinds), np.bool_)
        if kind in _FIXABLE:
            fixed = np.concatenate([fixed[:0], *(item.fixes(kind) for item in errors)])
        kept = (self.kinds != kind) | fixed
        class_ids = np.where(fixed, self.true_classes, judged.class_ids)
        return JudgedDetections(
            judged.scores[kept],
            class_ids[kept],
            judged.pictures[kept],
            (judged.right | fixed)[kept],
        )


def _asked(item: PictureErrors) -> Counts:
    """Return the class of the object that each detection is about; its own where about none."""
    if not len(item.class_ids):
        return item.detections.class_ids
    return np.where(item.objects >= 0, item.class_ids[item.objects], item.detections.class_ids)
