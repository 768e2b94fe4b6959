"""Accuracy of a detector that answers with every object of a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantdet.config import Config
from quantdet.data.cache import ImageCache
from quantdet.detections import Detections
from quantdet.errors import DataError
from quantdet.evaluate.agreement import same_detections
from quantdet.evaluate.bootstrap import bootstrap_map, describe_bootstrap, picture_draws
from quantdet.evaluate.coco_metrics import coco_metrics
from quantdet.evaluate.error_types import error_costs, picture_errors
from quantdet.evaluate.judge import EvaluationSet, Figures, Judged
from quantdet.evaluate.mean_ap import (
    AP_KINDS,
    Counts,
    Floats,
    match_detections,
    mean_over_classes,
    precision_at_recall,
)
from quantdet.evaluate.truth import Truth, truth_of
from quantdet.results.intervals import Interval, interval, paired_difference

BASELINES = (("float_keras", "float_tflite"), ("ptq_tflite",))
"""The first of each group that is measured is compared with all variants after it."""

_DIGITS = 6
_CURVE_DIGITS = 3


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of one model on a test set.

    Attributes:
        labels: class names.
        per_class: name of an AP (a key of ``AP_KINDS``) → AP of each class, NaN without objects.
        drawn: name → mean AP of each bootstrap draw.
        precision: (classes, levels), best precision from each of ``RECALL_LEVELS`` on.
        objects: (classes,), objects that are not difficult.
        coco: COCO's figures.
        error_costs: kind of error → mean AP (VOC10) gained by fixing it, see ``error_types``.
    """

    labels: tuple[str, ...]
    per_class: Mapping[str, Floats]
    drawn: Mapping[str, Floats]
    precision: Floats
    objects: Counts
    coco: Mapping[str, float | None]
    error_costs: Mapping[str, float]

    def mean(self, kind: str) -> float:
        """Return the mean over classes of an AP."""
        return float(mean_over_classes(self.per_class[kind]))

    def summary(self) -> dict[str, Any]:
        """Return the means, JSON-ready: shares from 0 to 1, None for "no object"."""
        found: dict[str, Any] = {}
        for kind, drawn in self.drawn.items():
            between = interval(self.mean(kind), drawn, within=(0.0, 1.0))
            found |= _with_interval(f"map_{kind}", between)
        found["coco"] = {
            key: None if v is None else round(v, _DIGITS) for key, v in self.coco.items()
        }
        found["error_costs"] = {key: _plain(value) for key, value in self.error_costs.items()}
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the summary with the figures of each class, JSON-ready."""
        per_class = {
            label: {
                "objects": int(self.objects[i]),
                **{f"ap_{kind}": _plain(values[i]) for kind, values in self.per_class.items()},
                "precision": [_plain(value, _CURVE_DIGITS) for value in self.precision[i]],
            }
            for i, label in enumerate(self.labels)
        }
        return {**self.summary(), "per_class": per_class}


def measure(
    answers: Sequence[Detections], truths: Sequence[Truth], labels: tuple[str, ...], draws: Counts
) -> Accuracy:
    """Return the accuracy of one model.

    Args:
        answers: detections of each picture, best first, not cut by a threshold; class ids into
            ``labels``.
        truths: annotated objects of each picture.
        labels: class names.
        draws: of ``bootstrap.picture_draws``.

    Raises:
        DependencyError: the library for COCO's figures is not installed.
    """
    matches = match_detections(answers, truths, len(labels))
    errors = [picture_errors(found, truth) for found, truth in zip(answers, truths, strict=True)]
    return Accuracy(
        labels=labels,
        per_class={
            kind: np.array([ap(item, None)[0] for item in matches]) for kind, ap in AP_KINDS.items()
        },
        drawn={kind: bootstrap_map(matches, ap, draws) for kind, ap in AP_KINDS.items()},
        precision=np.stack([precision_at_recall(item) for item in matches]),
        objects=np.array([item.objects.sum() for item in matches]),
        coco=coco_metrics(answers, truths, len(labels)),
        error_costs=error_costs(errors, truths, len(labels), AP_KINDS["voc10"]),
    )


class DetectionJudge:
    """The judge of detectors of many objects."""

    def __init__(self, config: Config, labels: tuple[str, ...], cache: ImageCache) -> None:
        truths = [truth_of(sample, labels) for sample in cache.samples]
        self.test = EvaluationSet(labels, cache.samples, cache.images, truths)
        self.facts = detection_facts(truths, config.data.test_split)
        own = config.predict.class_thresholds
        lowest = [own.get(label, config.predict.score_threshold) for label in labels]
        self._thresholds = np.array(lowest, np.float64)

    def judge(self, answers: Mapping[str, Sequence[Detections]]) -> Judged:
        """Return the figures of each variant, and their differences on the same pictures."""
        draws = picture_draws(len(self.test.truths))
        found = {
            variant: measure(detections, self.test.truths, self.test.labels, draws)
            for variant, detections in answers.items()
        }
        count = {"pictures": len(self.test.truths)}
        return Judged(
            {variant: {**count, **item.to_dict()} for variant, item in found.items()},
            {"differences": list(_differences(found))},
            {
                variant: {f"map_{kind}": values for kind, values in item.drawn.items()}
                for variant, item in found.items()
            },
        )

    def agreement(self, answers: Sequence[Detections], reference: Sequence[Detections]) -> Figures:
        """Return the share of same detections, and the mAP of ``answers``."""
        truths = self.test.truths[: len(answers)]
        matches = match_detections(answers, truths, len(self.test.labels))
        values = np.array([AP_KINDS["voc07"](item, None)[0] for item in matches])
        return {
            "same_detections": same_detections(answers, reference, self._thresholds),
            "map_voc07": _plain(float(mean_over_classes(values))),
        }


def detection_facts(truths: Sequence[Truth], split: str) -> dict[str, Any]:
    """Return what a detector is asked for, JSON-ready.

    Raises:
        DataError: for nothing: no picture has an object that counts.
    """
    objects = int(sum((~truth.difficult).sum() for truth in truths))
    if not objects:
        raise DataError(
            f"split {split!r}: none of {len(truths)} pictures has an object of the model's classes "
            "that is not difficult, so nothing can be measured; choose another split"
        )
    return {
        "pictures": len(truths),
        "objects": objects,
        "difficult": int(sum(truth.difficult.sum() for truth in truths)),
        "bootstrap": describe_bootstrap(),
    }


def _differences(found: Mapping[str, Accuracy]) -> Iterator[dict[str, Any]]:
    order = list(found)
    for group in BASELINES:
        against = next((name for name in group if name in found), None)
        if against is not None:
            for variant in order[order.index(against) + 1 :]:
                change = _difference(found[variant], found[against])
                yield {"variant": variant, "against": against, **change}


def _difference(after: Accuracy, before: Accuracy) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in after.drawn:
        change = paired_difference(
            (after.mean(kind), after.drawn[kind]), (before.mean(kind), before.drawn[kind])
        )
        found |= _with_interval(f"map_{kind}", change)
    return found


def _with_interval(name: str, figure: Interval) -> dict[str, Any]:
    return {
        name: _plain(figure.value),
        f"{name}_interval": [_plain(figure.low), _plain(figure.high)],
    }


def _plain(value: float, digits: int = _DIGITS) -> float | None:
    return None if math.isnan(value) else round(float(value), digits)
