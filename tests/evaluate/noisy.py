"""Detections made from real annotations: most objects found, a bit beside, and false alarms."""

from __future__ import annotations

import numpy as np

from quantdet.boxes import as_boxes
from quantdet.data.dataset import load_dataset
from quantdet.detections import Detections
from quantdet.evaluate.truth import truth_of


def noisy_voc(root, split="test"):
    """Return (answers, truths, labels) of a split of a VOC folder."""
    dataset = load_dataset(root, splits=(split,))
    rng = np.random.default_rng(0)
    truths = [truth_of(sample, dataset.labels) for sample in dataset.splits[split]]
    answers = [
        noisy(truth, sample.size_hw, dataset.labels, rng)
        for truth, sample in zip(truths, dataset.splits[split], strict=True)
    ]
    return answers, truths, dataset.labels


def noisy(truth, size_hw, labels, rng, alarms=20):
    height, width = size_hw
    kept = rng.random(len(truth.class_ids)) < 0.8
    boxes = truth.boxes_xyxy[kept]
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    near = boxes + rng.normal(0, 0.08, boxes.shape) * sides
    corner = rng.random((alarms, 2)) * [width, height] * 0.7
    wrong = np.concatenate([corner, corner + 5 + rng.random((alarms, 2)) * 0.3 * width], axis=1)
    scores = np.concatenate([rng.beta(4, 2, len(near)), rng.beta(1, 4, alarms)])
    class_ids = np.concatenate([truth.class_ids[kept], rng.integers(0, len(labels), alarms)])
    order = np.argsort(-scores, kind="stable")
    return Detections(
        as_boxes(np.concatenate([near, wrong])[order]),
        scores[order].astype(np.float32),
        class_ids[order],
        labels,
    )
