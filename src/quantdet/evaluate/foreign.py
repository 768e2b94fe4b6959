"""Measure one .tflite, whoever made it, on a data set; its contract says how it is run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from quantdet.data.sample import Dataset, Sample
from quantdet.detections import Detections
from quantdet.errors import DataError
from quantdet.evaluate.bootstrap import picture_draws
from quantdet.evaluate.detection import Accuracy, detection_facts, measure
from quantdet.evaluate.latency import host
from quantdet.evaluate.threshold_choice import contract_thresholds
from quantdet.evaluate.truth import Truth, restrict, translate, truth_of
from quantdet.progress import Tick, no_tick
from quantdet.results.metrics import DetectionMetrics
from quantdet.runtime.detector import Detector
from quantdet.runtime.thresholds import label_thresholds


def evaluate_file(
    model_file: Path,
    dataset: Dataset,
    split: str,
    progress: Tick = no_tick,
) -> DetectionMetrics:
    """Measure mean AP and COCO's figures of a detector on a split.

    Classes are matched by name. Detections of classes that the data set does not have are
    dropped. Classes of the data set that the model does not have are left out of the main
    figures, and count as never found in ``over_all_classes``.

    Args:
        model_file: a .tflite with its contract next to it, or a run folder.
        dataset: with ``split``.
        split: name of the split.
        progress: called with (pictures done, all pictures).

    Returns:
        What a run's ``metrics.json`` holds, of one variant.

    Raises:
        ModelError: file or contract missing or not fitting.
        DataError: a picture is not readable, the split holds nothing to find, or data set and
            model share no class.
        DependencyError: the library for COCO's figures is not installed.
    """
    detector = Detector(model_file)
    shared = _shared(detector, dataset)
    samples = [sample for sample in dataset.splits[split] if sample.annotated]
    truths = [truth_of(sample, dataset.labels) for sample in samples]
    asked = [restrict(truth, dataset.labels, shared) for truth in truths]
    facts = detection_facts(asked, split)
    answers = _answers(detector, samples, progress)
    own = _measured(detector, answers, asked, shared)
    whole = _measured(detector, answers, truths, dataset.labels)
    return DetectionMetrics.build(
        {
            "task": detector.contract.task,
            "split": split,
            **facts,
            "classes": {
                "shared": shared,
                "model_lacks": [label for label in dataset.labels if label not in shared],
                "data_lacks": [label for label in detector.labels if label not in shared],
            },
            "host": host(),
            "thresholds": contract_thresholds(detector.contract),
            "variants": [_row(detector.model_file, len(samples), own, whole)],
        }
    )


def _shared(detector: Detector, dataset: Dataset) -> tuple[str, ...]:
    """Return the classes that both have, in the order of the data set."""
    shared = tuple(label for label in dataset.labels if label in detector.labels)
    if not shared:
        raise DataError(
            f"{detector.model_file}: finds {', '.join(detector.labels)}; none of these is a class "
            f"of {dataset.root} ({', '.join(dataset.labels)}); rename the labels in its contract"
        )
    return shared


def _answers(detector: Detector, samples: Sequence[Sample], progress: Tick) -> list[Detections]:
    answers = []
    for done, sample in enumerate(samples, start=1):
        # Not even the contract's own thresholds: every answer counts.
        answers.append(detector.predict(sample.image_path, threshold=0.0))
        progress(done, len(samples))
    return answers


def _measured(
    detector: Detector,
    answers: Sequence[Detections],
    truths: Sequence[Truth],
    labels: tuple[str, ...],
) -> Accuracy:
    """Return the accuracy over some classes; those that the model lacks are never shown."""
    lowest = dict(zip(detector.labels, label_thresholds(detector.contract).tolist(), strict=True))
    return measure(
        [translate(found, labels) for found in answers],
        truths,
        {label: lowest.get(label, math.inf) for label in labels},
        picture_draws(len(truths)),
    )


def _row(model_file: Path, pictures: int, own: Accuracy, whole: Accuracy) -> dict[str, object]:
    return {
        "variant": "file",
        "name": model_file.name,
        "file": str(model_file),
        "bytes": model_file.stat().st_size,
        "pictures": pictures,
        **own.to_dict(),
        "over_all_classes": whole.summary(),
    }
