"""Where training batches come from.

The order of an epoch depends only on (seed, epoch) and the random changes of a batch only on
(seed, epoch, batch), so that a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Targets = dict[str, NDArray[np.number]]

# No batch has this number, so the order's random stream is none of the batches'.
_ORDER_STREAM = 1 << 32


class BatchSource(Protocol):
    """Examples that can be fetched by number."""

    def __len__(self) -> int:
        """Return the number of examples."""
        ...

    def batch(
        self, indices: Indices, rng: np.random.Generator
    ) -> tuple[NDArray[np.number], Targets]:
        """Return model inputs and, by output name, targets of the examples ``indices``.

        ``rng`` is for augmentation; a source without augmentation ignores it.
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

    def batch(
        self, indices: Indices, rng: np.random.Generator
    ) -> tuple[NDArray[np.number], Targets]:
        """Return the rows ``indices``."""
        rows = {name: values[indices] for name, values in self.targets.items()}
        return np.asarray(self.inputs[indices]), rows


class EpochBatches(keras.utils.PyDataset):
    """A source cut into batches, in an order of its own each epoch.

    Batches differ by one example at most: Keras averages the loss of each output over batches,
    not examples, so a small last batch would count too much.

    ``epoch`` must be set before each epoch; :func:`quantdet.train.loop.fit` does.
    """

    def __init__(self, source: BatchSource, batch_size: int, seed: int, *, shuffle: bool) -> None:
        super().__init__()
        self.epoch = 0
        self._source = source
        self._count = math.ceil(len(source) / batch_size)
        self._seed = seed
        self._shuffle = shuffle

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[NDArray[np.number], Targets]:
        indices = np.array_split(self._order(), self._count)[index]
        rng = np.random.default_rng((self._seed, self.epoch, index))
        return self._source.batch(indices, rng)

    def _order(self) -> Indices:
        if not self._shuffle:
            return np.arange(len(self._source))
        rng = np.random.default_rng((self._seed, self.epoch, _ORDER_STREAM))
        return rng.permutation(len(self._source))
