"""What a data set holds, in numbers: pictures, objects, classes, box sizes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantdet.data.sample import Dataset, Sample
from quantdet.results.data import DataFacts, SplitFacts

SIDE_BINS = 10
"""Box sizes are counted in so many bins of side / picture side, 0 to 1."""


def dataset_facts(dataset: Dataset) -> DataFacts:
    """Return what ``data.json`` holds.

    The size of a box is the square root of its share of the picture's area, 0 to 1: times the
    input size of a model it is the side, in pixels, that the model sees.
    """
    return DataFacts(
        labels=dataset.labels,
        side_bins=SIDE_BINS,
        splits={
            name: _split_facts(samples, dataset.labels) for name, samples in dataset.splits.items()
        },
    )


@dataclass(frozen=True)
class ClassFacts:
    """The boxes of a class.

    Attributes:
        objects: how many.
        side_px: sides of a tenth, the middle and nine tenths of the boxes, in pixels of the
            picture; the side of a box is the square root of its area.
        side_share: the same as shares of the picture's side, see :func:`dataset_facts`.
    """

    objects: int
    side_px: tuple[float, ...] = ()
    side_share: tuple[float, ...] = ()


def class_facts(samples: Iterable[Sample], labels: Sequence[str]) -> dict[str, ClassFacts]:
    """Return the facts of each class, in label order; a picture of two splits counts once."""
    shares: dict[str, list[tuple[float, float]]] = {label: [] for label in labels}
    for sample in {sample.image_path: sample for sample in samples}.values():
        side = math.sqrt(sample.size_hw[0] * sample.size_hw[1])
        for item in sample.objects:
            share = box_side(item.box_xyxy, sample.size_hw)
            shares[item.label].append((share * side, share))
    return {label: _class_facts(np.array(found)) for label, found in shares.items()}


def _class_facts(sides: NDArray[np.float64]) -> ClassFacts:
    if not len(sides):
        return ClassFacts(0)
    low = np.quantile(sides, (0.1, 0.5, 0.9), axis=0)
    return ClassFacts(
        len(sides), tuple(np.round(low[:, 0], 1).tolist()), tuple(np.round(low[:, 1], 4).tolist())
    )


def _split_facts(samples: Sequence[Sample], labels: Sequence[str]) -> SplitFacts:
    objects = [(item, sample.size_hw) for sample in samples for item in sample.objects]
    counts = Counter(item.label for item, _ in objects)
    sides = np.array([box_side(item.box_xyxy, size) for item, size in objects])
    heights = [sample.size_hw[0] for sample in samples]
    widths = [sample.size_hw[1] for sample in samples]
    return SplitFacts(
        pictures=len(samples),
        annotated=sum(sample.annotated for sample in samples),
        without_objects=sum(sample.annotated and not sample.objects for sample in samples),
        objects=len(objects),
        difficult=sum(item.difficult for item, _ in objects),
        truncated=sum(item.truncated for item, _ in objects),
        per_class={label: counts[label] for label in labels},
        sides=np.histogram(sides, bins=SIDE_BINS, range=(0.0, 1.0))[0].tolist(),
        median_side=round(float(np.median(sides)), 4) if len(sides) else None,
        median_size_hw=[int(np.median(heights)), int(np.median(widths))] if samples else None,
    )


def box_side(box_xyxy: tuple[float, float, float, float], size_hw: tuple[int, int]) -> float:
    """Return the square root of a box's share of the picture's area, 0 to 1."""
    x1, y1, x2, y2 = box_xyxy
    share = max(x2 - x1, 0.0) * max(y2 - y1, 0.0) / (size_hw[0] * size_hw[1])
    return math.sqrt(min(share, 1.0))
