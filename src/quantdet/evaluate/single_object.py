"""Accuracy of a single-object model: right class, and box near the annotated one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.boxes import Boxes, as_boxes, iou_pairs, yxyx_norm_to_xyxy
from quantdet.config import Config
from quantdet.data.cache import ImageCache
from quantdet.data.selection import single_object_targets
from quantdet.detections import Detections
from quantdet.evaluate.at_threshold import count_shown
from quantdet.evaluate.bootstrap import describe_bootstrap, picture_draws
from quantdet.evaluate.judge import (
    EvaluationSet,
    Judged,
    NothingToFindError,
    compared_variants,
)
from quantdet.evaluate.mean_ap import ClassMatches, Counts, match_detections
from quantdet.evaluate.truth import Truth
from quantdet.results.intervals import Interval, interval, paired_difference
from quantdet.results.metrics import Agreement

HIT_IOU = 0.5
_DIGITS = 6


@dataclass(frozen=True)
class SingleObjectMetrics:
    """Means over the pictures that have a target.

    Attributes:
        pictures: how many were judged.
        class_accuracy: share with the right class, 0 to 1.
        mean_iou: mean IoU of the answered with the annotated box, regardless of class.
        hit_share: share with the right class and IoU >= 0.5.
        ordered_share: share of boxes with x1 <= x2 and y1 <= y2; less than 1 is a defect.
    """

    pictures: int
    class_accuracy: float
    mean_iou: float
    hit_share: float
    ordered_share: float


class SingleObjectJudge:
    """The judge of model "localizer": one answer to each picture that has a target."""

    def __init__(
        self,
        config: Config,
        labels: tuple[str, ...],
        cache: ImageCache,
        thresholds: NDArray[np.float64],
    ) -> None:
        targets = single_object_targets(cache.samples, labels, config.target)
        if not len(targets.indices):
            raise NothingToFindError(
                f"split {config.data.test_split!r}: [target] leaves no object in any of "
                f"{len(cache.samples)} pictures; set target.skip_difficult or "
                "target.skip_truncated to false"
            )
        truths = [
            Truth(
                yxyx_norm_to_xyxy(as_boxes(box), sample.size_hw),
                np.array([class_id]),
                np.zeros(1, np.bool_),
            )
            for box, class_id, sample in zip(
                targets.boxes_yxyx_norm, targets.class_ids, targets.samples, strict=True
            )
        ]
        self.test = EvaluationSet(labels, targets.samples, cache.images[targets.indices], truths)
        self.facts = {"target": config.target.model_dump(), "bootstrap": describe_bootstrap()}
        self._thresholds = thresholds

    def judge(self, answers: Mapping[str, Sequence[Detections]]) -> Judged:
        """Return the metrics of each variant, with intervals of the bootstrap over pictures."""
        targets = _targets(self.test.truths)
        draws = picture_draws(len(self.test.truths))
        metrics: dict[str, dict[str, object]] = {}
        drawn: dict[str, dict[str, NDArray[np.float64]]] = {}
        for variant, found in answers.items():
            means = single_object_metrics(found, *targets)
            figures: dict[str, object] = asdict(means)
            right, iou = _judged(found, *targets)
            drawn[variant] = {
                "class_accuracy": draws @ right / len(found),
                "mean_iou": draws @ iou / len(found),
            }
            for name, values in drawn[variant].items():
                between = interval(getattr(means, name), values, within=(0.0, 1.0))
                figures[f"{name}_interval"] = _bounds(between)
            metrics[variant] = figures | self._shown(found, draws)
        changes = [
            {"variant": a, "against": b, **_difference(metrics, drawn, (a, b))}
            for a, b in compared_variants(list(answers))
        ]
        return Judged(metrics, {"differences": changes}, drawn)

    def matches(self, answers: Sequence[Detections]) -> list[ClassMatches]:
        """Return which answers are right, class by class."""
        return match_detections(answers, self.test.truths, len(self.test.labels), HIT_IOU)

    def _shown(self, found: Sequence[Detections], draws: Counts) -> dict[str, object]:
        """Return what people see; of each picture one answer counts."""
        best = [item[:1] for item in found]
        return count_shown(self.matches(best), self._thresholds).summary(draws, self.test.labels)

    def agreement(
        self, answers: Sequence[Detections], reference: Sequence[Detections]
    ) -> Agreement:
        """Return how often both name the same class, and how often ``answers`` is right."""
        boxes, class_ids = _targets(self.test.truths[: len(answers)])
        named, named_by_reference = _classes(answers), _classes(reference)
        return Agreement(
            same_class=float((named == named_by_reference).mean()),
            class_accuracy=single_object_metrics(answers, boxes, class_ids).class_accuracy,
        )


def single_object_metrics(
    answers: Sequence[Detections], boxes_xyxy: Boxes, class_ids: NDArray[np.int64]
) -> SingleObjectMetrics:
    """Judge one answer per picture; a picture without an answer counts as wrong.

    Args:
        answers: detections of each picture, best first; only the best is judged.
        boxes_xyxy: annotated boxes (N, 4) in pixels of the original pictures.
        class_ids: annotated classes (N,), without background.
    """
    found = _best_boxes(answers)
    right, iou = _judged(answers, boxes_xyxy, class_ids)
    ordered = (found[:, :2] <= found[:, 2:]).all(axis=1)
    return SingleObjectMetrics(
        pictures=len(answers),
        class_accuracy=float(right.mean()),
        mean_iou=float(iou.mean()),
        hit_share=float((right & (iou >= HIT_IOU)).mean()),
        ordered_share=float(ordered.mean()),
    )


def _judged(
    answers: Sequence[Detections], boxes_xyxy: Boxes, class_ids: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return of each picture whether the class is right, and the IoU of the box."""
    return _classes(answers) == class_ids, iou_pairs(_best_boxes(answers), boxes_xyxy)


def _best_boxes(answers: Sequence[Detections]) -> Boxes:
    return as_boxes([best.boxes_xyxy[0] if len(best) else (0, 0, 0, 0) for best in answers])


def _classes(answers: Sequence[Detections]) -> NDArray[np.int64]:
    """Return the best class of each picture, -1 where nothing was answered."""
    return np.array([best.class_ids[0] if len(best) else -1 for best in answers], np.int64)


def _targets(truths: Sequence[Truth]) -> tuple[Boxes, NDArray[np.int64]]:
    boxes = np.concatenate([truth.boxes_xyxy for truth in truths])
    return boxes, np.concatenate([truth.class_ids for truth in truths])


def _difference(
    metrics: Mapping[str, Mapping[str, Any]],
    drawn: Mapping[str, Mapping[str, NDArray[np.float64]]],
    pair: tuple[str, str],
) -> dict[str, object]:
    """Return (variant, baseline)'s paired differences, JSON-ready."""
    found: dict[str, object] = {}
    for name in drawn[pair[0]]:
        after, before = ((metrics[key][name], drawn[key][name]) for key in pair)
        change = paired_difference(after, before)
        found |= {name: round(change.value, _DIGITS), f"{name}_interval": _bounds(change)}
    return found


def _bounds(figure: Interval) -> list[float]:
    return [round(figure.low, _DIGITS), round(figure.high, _DIGITS)]
