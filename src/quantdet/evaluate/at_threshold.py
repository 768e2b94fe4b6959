"""What people see: how much of it is right at a threshold, and which threshold is best.

Of detections with ``score >= threshold``, with r right ones among s shown and n objects,

    precision = r / s,  recall = r / n,  F1 = 2 r / (s + n).

A threshold does not change which of the better detections are right (``mean_ap``), so detections
are judged once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.evaluate.mean_ap import ClassMatches, Counts, Floats
from quantdet.results.intervals import interval

LEAST_OBJECTS = 50
"""A class with fewer validation objects shares the common threshold."""
_LEAST_SCORE = 0.01
_DIGITS = 6


@dataclass(frozen=True)
class Shown:
    """Counts of each class in each picture, shape (classes, pictures).

    Attributes:
        right: right detections that are shown.
        shown: detections that are shown and count.
        objects: objects that are not difficult.
    """

    right: Counts
    shown: Counts
    objects: Counts

    def figures(self) -> dict[str, float]:
        """Return precision, recall and F1 of all together, NaN for nothing of nothing."""
        return {name: float(values[0]) for name, values in self.drawn(None).items()}

    def drawn(self, draws: Counts | None) -> dict[str, Floats]:
        """Return the figures of each draw of pictures, shape (draws,); None: of all, once."""
        right, shown, objects = (
            counts.sum(axis=0, keepdims=True).T for counts in (self.right, self.shown, self.objects)
        )
        if draws is None:
            draws = np.ones((1, len(right)), np.int64)
        r, s, n = ((draws @ counts)[:, 0] for counts in (right, shown, objects))
        return {"precision": _share(r, s), "recall": _share(r, n), "f1": _share(2 * r, s + n)}

    def summary(self, draws: Counts, labels: Sequence[str]) -> dict[str, object]:
        """Return figures with intervals, and counts, JSON-ready."""
        found: dict[str, object] = {
            **self._counts(slice(None)),
            "by_class": {label: self._counts(place) for place, label in enumerate(labels)},
        }
        figures = self.figures()
        for name, drawn in self.drawn(draws).items():
            if math.isnan(figures[name]):
                continue
            between = interval(figures[name], drawn, within=(0.0, 1.0))
            found[name] = round(between.value, _DIGITS)
            found[f"{name}_interval"] = [round(between.low, _DIGITS), round(between.high, _DIGITS)]
        return found

    def _counts(self, classes: int | slice) -> dict[str, int]:
        parts = (("objects", self.objects), ("shown", self.shown), ("right", self.right))
        return {name: int(counts[classes].sum()) for name, counts in parts}


def count_shown(matches: Sequence[ClassMatches], lowest: NDArray[np.float64]) -> Shown:
    """Count what reaches the thresholds.

    Args:
        matches: of each class.
        lowest: (classes,), lowest score that is shown.
    """
    right, shown = [], []
    for item, least in zip(matches, lowest, strict=True):
        seen = item.scores >= np.float32(least)
        pictures = len(item.objects)
        shown.append(np.bincount(item.pictures[seen], minlength=pictures))
        right.append(np.bincount(item.pictures[seen & item.right], minlength=pictures))
    return Shown(np.stack(right), np.stack(shown), np.stack([item.objects for item in matches]))


def best_thresholds(
    matches: Sequence[ClassMatches],
    labels: Sequence[str],
    fixed: Mapping[str, float],
) -> tuple[float, dict[str, float]] | None:
    """Return the common threshold with the best F1, and those of classes with enough objects.

    Args:
        matches: of each class.
        labels: their names.
        fixed: label → threshold that is given; these classes choose nothing.

    Returns:
        (common, label → its own, the fixed ones too); None where nothing right is found.
    """
    free = [item for item, label in zip(matches, labels, strict=True) if label not in fixed]
    common = _best(free) if free else None
    if common is None:
        return None
    own = {
        label: _best([item])
        for item, label in zip(matches, labels, strict=True)
        if label not in fixed and item.objects.sum() >= LEAST_OBJECTS
    }
    return common, {**{key: value for key, value in own.items() if value is not None}, **fixed}


def _best(matches: Sequence[ClassMatches]) -> float | None:
    """Return the threshold with the best F1 of these classes together; the highest of equals."""
    scores = np.concatenate([item.scores for item in matches])
    right = np.concatenate([item.right for item in matches])
    if not right.any():
        return None
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order].astype(np.float64), right[order]
    objects = sum(int(item.objects.sum()) for item in matches)
    f1 = 2 * np.cumsum(right) / (np.arange(1, len(right) + 1) + objects)
    # Equal scores are shown together.
    f1[:-1][scores[:-1] == scores[1:]] = -1.0
    place = int(f1.argmax())
    below = scores[place + 1] if place + 1 < len(scores) else 0.0
    return _between(max(float(below), _LEAST_SCORE), float(scores[place]))


def _between(low: float, high: float) -> float:
    """Return a short number in (low, high], near the middle if there is one."""
    for digits in range(2, 6):
        short = round((low + high) / 2, digits)
        if low < short <= high:
            return short
    return high


def _share(part: Counts, whole: Counts) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
