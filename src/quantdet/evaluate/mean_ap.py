"""Average precision the way of PASCAL VOC.

Matching runs once, per picture and class; what remains of every detection is its score and
whether it was right. From this table come average precision, curves and, with weighted
pictures, bootstrap intervals.

Rules (Everingham et al. 2010, "The PASCAL Visual Object Classes Challenge", section 4.2, and
the development kit's VOCevaldet.m): detections of one class go best first; each is compared
with the object of its class that it overlaps most. IoU >= 0.5 and the object not yet found: a
hit. Found already: a false alarm. The object is difficult: the detection is left out. Difficult
objects do not count as missed.

Boxes: VOC's XML has 1-based inclusive pixels, and the kit adds 1 to every side. The boxes here
are 0-based with exclusive right and lower edge (``x1 = xmin - 1, x2 = xmax``), therefore
``x2 - x1 = xmax - xmin + 1`` and every IoU is the kit's own, without adding anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import iou_matrix
from quantdet.detections import Detections
from quantdet.evaluate.truth import Truth

MATCH_IOU = 0.5

Floats = NDArray[np.float64]
AveragePrecision = Callable[[Floats, Floats], Floats]
"""(recall (R, K), precision (R, K)) → area (R,); recall never falls along a row."""


@dataclass(frozen=True)
class Matches:
    """All judged detections of a data set, best first; equal scores in order of pictures.

    Attributes:
        scores: float32 (N,).
        hits: bool (N,), right or false alarm. Detections of difficult objects are not in here.
        pictures: int64 (N,), number of the picture.
        class_ids: int64 (N,).
        positives: int64 (pictures, classes), objects to be found, without difficult ones.
    """

    scores: NDArray[np.float32]
    hits: NDArray[np.bool_]
    pictures: NDArray[np.int64]
    class_ids: NDArray[np.int64]
    positives: NDArray[np.int64]


def match_voc(
    answers: Sequence[Detections],
    truths: Sequence[Truth],
    class_count: int,
    iou: float = MATCH_IOU,
) -> Matches:
    """Judge the detections of every picture.

    Args:
        answers: detections of each picture, in any order.
        truths: of the same pictures; class ids mean the same as in ``answers``.
        class_count: number of classes; ids beyond are a ValueError of numpy.
        iou: least overlap of a hit.
    """
    positives = np.zeros((len(truths), class_count), dtype=np.int64)
    rows = [_Rows.none()]
    for picture, (answer, truth) in enumerate(zip(answers, truths, strict=True)):
        np.add.at(positives[picture], truth.class_ids[~truth.difficult], 1)
        rows += [
            _judge(answer, int(class_id), truth, iou).of_picture(picture)
            for class_id in np.unique(answer.class_ids)
        ]
    scores = np.concatenate([part.scores for part in rows])
    order = np.argsort(-scores, kind="stable")
    return Matches(
        scores[order],
        np.concatenate([part.hits for part in rows])[order],
        np.concatenate([part.pictures for part in rows])[order],
        np.concatenate([part.class_ids for part in rows])[order],
        positives,
    )


def voc07_ap(recall: Floats, precision: Floats) -> Floats:
    """Return the mean of the best precision at recall >= 0, 0.1, …, 1 (VOC 2007), shape (R,).

    The levels are those of the kit and of voc_eval.py, multiples of the float 0.1. Three of them
    lie a hair above 0.3, 0.6 and 0.7, so that a recall of 3/10 does not reach the fourth: where
    classes have few objects that takes up to half a point off, in every published figure too.
    """
    best = _best_to_the_right(precision)
    levels = np.arange(11) * 0.1
    points = [_first(best, recall >= level) for level in levels]
    area: Floats = np.mean(points, axis=0)
    return area


def voc10_ap(recall: Floats, precision: Floats) -> Floats:
    """Return the area under the falling envelope of the curve (VOC since 2010), shape (R,)."""
    steps = np.diff(recall, axis=1, prepend=0.0)
    area: Floats = (steps * _best_to_the_right(precision)).sum(axis=1)
    return area


def class_aps(matches: Matches, rule: AveragePrecision, weights: Floats | None = None) -> Floats:
    """Return average precision of every class, from 0 to 1; nan without objects to be found.

    Args:
        matches: judged detections.
        rule: :func:`voc07_ap` or :func:`voc10_ap`.
        weights: (R, pictures) how often each picture counts; None counts each once.

    Returns:
        (R, classes); R is 1 without weights.
    """
    pictures, classes = matches.positives.shape
    weights = np.ones((1, pictures)) if weights is None else weights
    positives = weights @ matches.positives
    result = np.full((len(weights), classes), np.nan)
    for class_id in range(classes):
        recall, precision = _curve(matches, class_id, weights, positives[:, class_id])
        result[:, class_id] = rule(recall, precision)
    return np.where(positives > 0, result, np.nan)


def mean_of_classes(aps: Floats) -> Floats:
    """Return the mean over classes that have objects, shape (R,); nan where no class has any."""
    there = ~np.isnan(aps)
    total = np.where(there, aps, 0.0).sum(axis=-1)
    mean: Floats = np.where(there.any(axis=-1), total / np.maximum(there.sum(axis=-1), 1), np.nan)
    return mean


def precision_recall(matches: Matches, class_id: int) -> tuple[Floats, Floats]:
    """Return recall and precision after each hit of a class, best score first, shape (hits,).

    Points between two hits have less precision at the same recall; they add nothing to a curve.
    """
    weights = np.ones((1, len(matches.positives)))
    recall, precision = _curve(matches, class_id, weights, weights @ matches.positives[:, class_id])
    return recall[0], precision[0]


@dataclass(frozen=True)
class _Rows:
    """A piece of :class:`Matches`."""

    scores: NDArray[np.float32]
    hits: NDArray[np.bool_]
    pictures: NDArray[np.int64]
    class_ids: NDArray[np.int64]

    @classmethod
    def none(cls) -> _Rows:
        whole = np.zeros(0, np.int64)
        return cls(np.zeros(0, np.float32), np.zeros(0, np.bool_), whole, whole)

    def of_picture(self, picture: int) -> _Rows:
        return replace(self, pictures=np.full(len(self.scores), picture, np.int64))


def _judge(answer: Detections, class_id: int, truth: Truth, iou: float) -> _Rows:
    """Return the judged detections of one picture and class, best first."""
    rows = np.flatnonzero(answer.class_ids == class_id)
    rows = rows[np.argsort(-answer.scores[rows], kind="stable")]
    objects = np.flatnonzero(truth.class_ids == class_id)
    hits, judged = np.zeros(len(rows), np.bool_), np.ones(len(rows), np.bool_)
    if len(objects):
        overlaps = iou_matrix(answer.boxes_xyxy[rows], truth.boxes_xyxy[objects])
        nearest = overlaps.argmax(axis=1)
        near = overlaps.max(axis=1) >= iou
        judged = ~(near & truth.difficult[objects[nearest]])
        candidates = np.flatnonzero(near & judged)
        # The first detection of each object is its hit; those after it are false alarms.
        firsts = np.unique(nearest[candidates], return_index=True)[1]
        hits[candidates[firsts]] = True
    ids = np.full(len(rows), class_id, np.int64)[judged]
    return _Rows(answer.scores[rows][judged], hits[judged], ids, ids)


def _curve(
    matches: Matches, class_id: int, weights: Floats, positives: Floats
) -> tuple[Floats, Floats]:
    """Return recall and precision (R, hits) of one class after each of its hits."""
    rows = np.flatnonzero(matches.class_ids == class_id)
    hits = np.flatnonzero(matches.hits[rows])
    counts = weights[:, matches.pictures[rows]]
    alarms_and_hits = counts.cumsum(axis=1)[:, hits]
    found = counts[:, hits].cumsum(axis=1)
    return (
        found / np.maximum(positives, 1e-12)[:, None],
        found / np.maximum(alarms_and_hits, 1e-12),
    )


def _best_to_the_right(precision: Floats) -> Floats:
    best: Floats = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return best


def _first(values: Floats, marked: NDArray[np.bool_]) -> Floats:
    """Return of each row the first marked value, 0 where none is marked."""
    if not values.shape[1]:
        return np.zeros(len(values))
    chosen = np.take_along_axis(values, marked.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(marked.any(axis=1), chosen, 0.0)
