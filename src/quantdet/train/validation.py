"""What the loop asks about accuracy on held-out examples; what measures it lies above training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

Outputs = Mapping[str, NDArray[np.float32]]
"""Output name → values of a batch of examples."""


@dataclass(frozen=True)
class Accuracy:
    """What one measurement found.

    Attributes:
        mean_ap: mean AP, 0 to 1.
        pictures: some of the pictures with what was found drawn on them, uint8 (H, W, 3).
    """

    mean_ap: float
    pictures: Sequence[NDArray[np.uint8]] = field(default_factory=tuple)


class Validator(Protocol):
    """Measures accuracy on the validation examples."""

    @property
    def objects(self) -> int:
        """How many objects there are to find."""
        ...

    def measure(self, outputs: Iterable[Outputs]) -> Accuracy:
        """Return the accuracy of a model's ``outputs`` on all examples, in order."""
        ...


@dataclass(frozen=True)
class StudentOnly:
    """Judges the student of a model whose outputs have the teacher's behind (``with_teacher``)."""

    judge: Validator

    @property
    def objects(self) -> int:
        """How many objects there are to find."""
        return self.judge.objects

    def measure(self, outputs: Iterable[Outputs]) -> Accuracy:
        """Return the accuracy of the first half of the last axis of every output."""
        return self.judge.measure(
            {name: np.split(value, 2, axis=-1)[0] for name, value in batch.items()}
            for batch in outputs
        )


def predicted(model: keras.Model, batches: keras.utils.PyDataset) -> Iterable[Outputs]:
    """Yield a model's outputs on batches of (inputs, targets)."""
    for number in range(len(batches)):
        yield model.predict_on_batch(batches[number][0])
