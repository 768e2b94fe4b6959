"""The pictures that models are measured on, and what a task has to say about the answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quantdet.data.mapped import Pictures
from quantdet.data.sample import Sample
from quantdet.detections import Detections
from quantdet.errors import DataError
from quantdet.evaluate.mean_ap import ClassMatches
from quantdet.evaluate.truth import Truth
from quantdet.results.metrics import Agreement

BASELINES = (("float_keras", "float_tflite"), ("ptq_tflite",))
"""The first of each group that is measured is compared with all variants after it."""


class NothingToFindError(DataError):
    """The pictures hold no object that counts."""


@dataclass(frozen=True)
class EvaluationSet:
    """Decoded test pictures with their ground truth.

    Attributes:
        labels: class names in the order of class ids.
        samples: the pictures.
        pixels: uint8 (N, H, W, 3) at model size.
        truths: the ground-truth objects of each that count.
    """

    labels: tuple[str, ...]
    samples: Sequence[Sample]
    pixels: Pictures
    truths: Sequence[Truth]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of every original picture."""
        return [sample.size_hw for sample in self.samples]


@dataclass(frozen=True)
class Judged:
    """What a judge found.

    Attributes:
        metrics: variant → its figures, JSON-ready.
        together: figures of several variants, e.g. their differences; JSON-ready.
        drawn: variant → figure → its value in every draw of ``bootstrap.picture_draws``, for
            intervals of differences between runs.
    """

    metrics: Mapping[str, dict[str, object]]
    together: dict[str, object] = field(default_factory=dict)
    drawn: Mapping[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)


class Judge(Protocol):
    """Accuracy as one task defines it.

    Attributes:
        test: the pictures that the task can be measured on.
        facts: what was asked, JSON-ready; the first entries of ``metrics.json``.
    """

    test: EvaluationSet
    facts: dict[str, object]

    def judge(self, answers: Mapping[str, Sequence[Detections]]) -> Judged:
        """Return figures of every variant.

        Args:
            answers: variant → detections of each picture, best first, not cut by a threshold.
        """

    def matches(self, answers: Sequence[Detections]) -> list[ClassMatches]:
        """Return which answers are right, class by class."""

    def agreement(
        self, answers: Sequence[Detections], reference: Sequence[Detections]
    ) -> Agreement:
        """Return how far ``answers`` are those of ``reference``, and how good they are.

        Args:
            answers: of the first pictures of the test set.
            reference: of the same pictures.
        """


def compared_variants(measured: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (variant, baseline) of all that are compared, see :data:`BASELINES`."""
    for group in BASELINES:
        against = next((name for name in group if name in measured), None)
        if against is not None:
            yield from ((name, against) for name in measured[measured.index(against) + 1 :])
