"""Measure one .tflite, whoever made it, on a data set; its contract says how it is run."""

from __future__ import annotations

import math
from pathlib import Path

from quantdet.data.sample import Dataset
from quantdet.errors import DataError
from quantdet.evaluate.bootstrap import picture_draws
from quantdet.evaluate.detection import detection_facts, measure
from quantdet.evaluate.latency import host
from quantdet.evaluate.threshold_choice import contract_thresholds
from quantdet.evaluate.truth import restrict, translate, truth_of
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
    shared = tuple(label for label in dataset.labels if label in detector.labels)
    if not shared:
        raise DataError(
            f"{model_file}: finds {', '.join(detector.labels)}; none of these is a class of "
            f"{dataset.root} ({', '.join(dataset.labels)}); rename the labels in its contract"
        )
    samples = [sample for sample in dataset.splits[split] if sample.annotated]
    truths = [truth_of(sample, dataset.labels) for sample in samples]
    asked = [restrict(truth, dataset.labels, shared) for truth in truths]
    facts = detection_facts(asked, split)
    answers = []
    for done, sample in enumerate(samples, start=1):
        # Not even the contract's own thresholds: every answer counts.
        answers.append(detector.predict(sample.image_path, threshold=0.0))
        progress(done, len(samples))
    draws = picture_draws(len(samples))
    lowest = dict(zip(detector.labels, label_thresholds(detector.contract).tolist(), strict=True))
    own, whole = (
        measure(
            [translate(found, labels) for found in answers],
            right,
            {label: lowest.get(label, math.inf) for label in labels},
            draws,
        )
        for labels, right in ((shared, asked), (dataset.labels, truths))
    )
    row = {
        "variant": "file",
        "name": detector.model_file.name,
        "file": str(detector.model_file),
        "bytes": detector.model_file.stat().st_size,
        "pictures": len(samples),
        **own.to_dict(),
        "over_all_classes": whole.summary(),
    }
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
            "variants": [row],
        }
    )
