"""Accuracy of a detector that answers with every object of a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.config import Config
from quantdet.data.cache import ImageCache
from quantdet.detections import Detections
from quantdet.evaluate.agreement import same_detections
from quantdet.evaluate.at_threshold import Shown, count_shown
from quantdet.evaluate.bootstrap import bootstrap_ap, describe_bootstrap, picture_draws
from quantdet.evaluate.coco_metrics import coco_metrics
from quantdet.evaluate.error_types import error_costs, picture_errors
from quantdet.evaluate.judge import (
    EvaluationSet,
    Judged,
    NothingToFindError,
    compared_variants,
)
from quantdet.evaluate.mean_ap import (
    AP_KINDS,
    ClassMatches,
    Counts,
    Floats,
    match_detections,
    mean_over_classes,
    precision_at_recall,
)
from quantdet.evaluate.truth import Truth, truth_of
from quantdet.results.intervals import Interval, interval, paired_difference
from quantdet.results.metrics import Agreement

_DIGITS = 6
_CURVE_DIGITS = 3


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of one model on a test set.

    Attributes:
        labels: class names.
        per_class: name of an AP (a key of ``AP_KINDS``) → AP of each class, NaN without objects.
        drawn: name → AP of each class in each bootstrap draw, shape (classes, draws).
        shown: what people see.
        draws: of the pictures.
        precision: (classes, levels), best precision from each of ``RECALL_LEVELS`` on.
        objects: (classes,), objects that are not difficult.
        coco: COCO's figures.
        error_costs: kind of error → mean AP (VOC10) gained by fixing it, see ``error_types``.
    """

    labels: tuple[str, ...]
    per_class: Mapping[str, Floats]
    drawn: Mapping[str, Floats]
    shown: Shown
    draws: Counts
    precision: Floats
    objects: Counts
    coco: Mapping[str, float | None]
    error_costs: Mapping[str, float]

    def mean(self, kind: str) -> float:
        """Return the mean over classes of an AP."""
        return float(mean_over_classes(self.per_class[kind]))

    def drawn_mean(self, kind: str) -> Floats:
        """Return the same of each bootstrap draw."""
        return mean_over_classes(self.drawn[kind])

    def summary(self) -> dict[str, object]:
        """Return the means, JSON-ready: shares from 0 to 1, None for "no object"."""
        found: dict[str, object] = {}
        for kind in self.drawn:
            between = interval(self.mean(kind), self.drawn_mean(kind), within=(0.0, 1.0))
            found |= _with_interval(f"map_{kind}", between)
        found["coco"] = {
            key: None if v is None else round(v, _DIGITS) for key, v in self.coco.items()
        }
        found["error_costs"] = {key: _plain(value) for key, value in self.error_costs.items()}
        return found

    def to_dict(self) -> dict[str, object]:
        """Return the summary, what people see, and the figures of each class, JSON-ready."""
        per_class = {label: self._of_class(place) for place, label in enumerate(self.labels)}
        return {
            **self.summary(),
            **self.shown.summary(self.draws, self.labels),
            "per_class": per_class,
        }

    def _of_class(self, place: int) -> dict[str, object]:
        return {
            "objects": int(self.objects[place]),
            **{f"ap_{kind}": _plain(values[place]) for kind, values in self.per_class.items()},
            **_class_figure(self.per_class["voc07"][place], self.drawn["voc07"][place]),
            "precision": [_plain(value, _CURVE_DIGITS) for value in self.precision[place]],
        }


def measure(
    answers: Sequence[Detections],
    truths: Sequence[Truth],
    lowest: Mapping[str, float],
    draws: Counts,
) -> Accuracy:
    """Return the accuracy of one model.

    Args:
        answers: detections of each picture, best first, not cut by a threshold; class ids into
            the labels.
        truths: annotated objects of each picture.
        lowest: label → lowest score that people see, in the order of class ids.
        draws: of ``bootstrap.picture_draws``.

    Raises:
        DependencyError: the library for COCO's figures is not installed.
    """
    labels = tuple(lowest)
    matches = match_detections(answers, truths, len(labels))
    errors = [picture_errors(found, truth) for found, truth in zip(answers, truths, strict=True)]
    return Accuracy(
        labels=labels,
        per_class={
            kind: np.array([ap(item, None)[0] for item in matches]) for kind, ap in AP_KINDS.items()
        },
        drawn={kind: bootstrap_ap(matches, ap, draws) for kind, ap in AP_KINDS.items()},
        shown=count_shown(matches, np.array([*lowest.values()], np.float64)),
        draws=draws,
        precision=np.stack([precision_at_recall(item) for item in matches]),
        objects=np.array([item.objects.sum() for item in matches]),
        coco=coco_metrics(answers, truths, len(labels)),
        error_costs=error_costs(errors, truths, len(labels), AP_KINDS["voc10"]),
    )


class DetectionJudge:
    """The judge of detectors of many objects."""

    def __init__(
        self,
        config: Config,
        labels: tuple[str, ...],
        cache: ImageCache,
        thresholds: NDArray[np.float64],
    ) -> None:
        truths = [truth_of(sample, labels) for sample in cache.samples]
        self.test = EvaluationSet(labels, cache.samples, cache.images, truths)
        self.facts = detection_facts(truths, config.data.test_split)
        self._thresholds = thresholds

    def judge(self, answers: Mapping[str, Sequence[Detections]]) -> Judged:
        """Return the figures of each variant, and their differences on the same pictures."""
        draws = picture_draws(len(self.test.truths))
        lowest = dict(zip(self.test.labels, self._thresholds.tolist(), strict=True))
        found = {
            variant: measure(detections, self.test.truths, lowest, draws)
            for variant, detections in answers.items()
        }
        count = {"pictures": len(self.test.truths)}
        return Judged(
            {variant: {**count, **item.to_dict()} for variant, item in found.items()},
            {
                "differences": [
                    {"variant": a, "against": b, **_difference(found[a], found[b])}
                    for a, b in compared_variants(list(found))
                ]
            },
            {variant: _draws(item) for variant, item in found.items()},
        )

    def matches(self, answers: Sequence[Detections]) -> list[ClassMatches]:
        """Return which answers are right, class by class."""
        return match_detections(answers, self.test.truths, len(self.test.labels))

    def agreement(
        self, answers: Sequence[Detections], reference: Sequence[Detections]
    ) -> Agreement:
        """Return the share of same detections, and the mAP of ``answers``."""
        truths = self.test.truths[: len(answers)]
        matches = match_detections(answers, truths, len(self.test.labels))
        values = np.array([AP_KINDS["voc07"](item, None)[0] for item in matches])
        return Agreement(
            same_detections=same_detections(answers, reference, self._thresholds),
            map_voc07=_plain(float(mean_over_classes(values))),
        )


def detection_facts(truths: Sequence[Truth], split: str) -> dict[str, object]:
    """Return what a detector is asked for, JSON-ready.

    Raises:
        NothingToFindError: for nothing: no picture has an object that counts.
    """
    objects = int(sum((~truth.difficult).sum() for truth in truths))
    if not objects:
        raise NothingToFindError(
            f"split {split!r}: none of {len(truths)} pictures has an object of the model's classes "
            "that is not difficult, so nothing can be measured; choose another split"
        )
    return {
        "pictures": len(truths),
        "objects": objects,
        "difficult": int(sum(truth.difficult.sum() for truth in truths)),
        "bootstrap": describe_bootstrap(),
    }


def _draws(item: Accuracy) -> dict[str, Floats]:
    means = {f"map_{kind}": item.drawn_mean(kind) for kind in item.drawn}
    return means | {"f1": item.shown.drawn(item.draws)["f1"]}


def _difference(after: Accuracy, before: Accuracy) -> dict[str, object]:
    found: dict[str, object] = {}
    for kind in after.drawn:
        change = paired_difference(
            (after.mean(kind), after.drawn_mean(kind)), (before.mean(kind), before.drawn_mean(kind))
        )
        found |= _with_interval(f"map_{kind}", change)
    found["per_class"] = {
        label: _class_figure(value, drawn, lowest=-1.0)
        for label, value, drawn in zip(
            after.labels,
            after.per_class["voc07"] - before.per_class["voc07"],
            after.drawn["voc07"] - before.drawn["voc07"],
            strict=True,
        )
        if not math.isnan(value)
    }
    return found


def _class_figure(value: float, drawn: Floats, lowest: float = 0.0) -> dict[str, object]:
    """Return the AP of a class, or a difference, with its interval; None without objects."""
    if math.isnan(value):
        return {"ap_voc07": None, "ap_voc07_interval": None}
    return _with_interval("ap_voc07", interval(value, drawn, within=(lowest, 1.0)))


def _with_interval(name: str, figure: Interval) -> dict[str, object]:
    return {
        name: _plain(figure.value),
        f"{name}_interval": [_plain(figure.low), _plain(figure.high)],
    }


def _plain(value: float, digits: int = _DIGITS) -> float | None:
    return None if math.isnan(value) else round(float(value), digits)
