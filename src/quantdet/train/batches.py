"""Where training batches come from. Pure numpy: processes that make batches need no Keras.

The order of an epoch depends only on (seed, epoch) and the random changes of a batch only on
(seed, epoch, batch), so that a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Targets = dict[str, NDArray[np.number]]
Batch = tuple[NDArray[np.number], Targets]
"""Inputs, and targets by output name."""

# No batch has this number, so the order's random stream is none of the batches'.
_ORDER_STREAM = 1 << 32


class BatchSource(Protocol):
    """Examples that can be fetched by number."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def batch(self, indices: Indices, rng: np.random.Generator) -> Batch:
        """Return inputs and, by output name, targets of the examples ``indices``.

        Inputs of type uint8 are pixels, which become model inputs where the model is trained; all
        others are model inputs. ``rng`` is for augmentation; a source without it ignores it.
        """
        ...


@dataclass(frozen=True)
class ArraySource:
    """Examples held as arrays, e.g. features of a frozen backbone.

    Attributes:
        inputs: (N, …).
        targets: output name → (N, …).
    """

    inputs: NDArray[np.number]
    targets: Targets

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, indices: Indices, rng: np.random.Generator) -> Batch:
        """Return the rows ``indices``."""
        rows = {name: values[indices] for name, values in self.targets.items()}
        return np.asarray(self.inputs[indices]), rows


@dataclass(frozen=True)
class Batches:
    """A source cut into batches, in an order of its own each epoch.

    Batches differ by one example at most: Keras averages the loss of each output over batches,
    not examples, so a small last batch would count too much.

    Attributes:
        source: the examples.
        batch_size: examples of a batch, at most.
        seed: of order and augmentation.
        shuffle: False keeps the order of the source.
    """

    source: BatchSource
    batch_size: int
    seed: int
    shuffle: bool

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch."""
        return math.ceil(len(self.source) / self.batch_size)

    def __getitem__(self, number: int) -> Batch:
        """Return the batch with this number, counted from the first epoch on."""
        epoch, index = divmod(number, self.per_epoch)
        indices = np.array_split(self._order(epoch), self.per_epoch)[index]
        return self.source.batch(indices, np.random.default_rng((self.seed, epoch, index)))

    def _order(self, epoch: int) -> Indices:
        if not self.shuffle:
            return np.arange(len(self.source))
        rng = np.random.default_rng((self.seed, epoch, _ORDER_STREAM))
        return rng.permutation(len(self.source))
