"""Where training batches come from. Pure numpy: processes that make batches need no Keras.

The order of a pass depends only on (seed, pass) and the random changes of a batch only on
(seed, pass, batch), so that a resumed run sees what an uninterrupted one would have seen.
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
class Share:
    """Who computes a batch.

    Attributes:
        devices: all that share it, each with an equal part.
        part: which part of the batch this process has, from 0.
        parts: processes that share the devices equally.
    """

    devices: int = 1
    part: int = 0
    parts: int = 1


ALONE = Share()
"""One device of one process."""


@dataclass(frozen=True)
class Batches:
    """A source cut into batches, in an order of its own each pass.

    Batches differ by one example (several devices: by one each) at most: Keras averages the loss
    of each output over batches, not examples, so a small last batch would count too much. Where
    the examples have no equal parts for all devices, the first ones of the order come twice.

    Attributes:
        source: the examples.
        batch_size: examples of a batch, at most.
        seed: of order and augmentation.
        shuffle: False keeps the order of the source.
        share: who computes the batches; their size has to be a multiple of the devices.
    """

    source: BatchSource
    batch_size: int
    seed: int
    shuffle: bool
    share: Share = ALONE

    @property
    def per_pass(self) -> int:
        """Batches of a pass over the source."""
        return math.ceil(len(self.source) / self.batch_size)

    def __getitem__(self, number: int) -> Batch:
        """Return the part of this process of a batch; they count from the first pass on."""
        turn, index = divmod(number, self.per_pass)
        indices = np.array_split(self._rows(turn), self.per_pass)[index].ravel()
        # Random changes follow one another, so every process makes the whole batch.
        rng = np.random.default_rng((self.seed, turn, index))
        inputs, targets = self.source.batch(indices, rng)
        size = len(indices) // self.share.parts
        own = slice(self.share.part * size, (self.share.part + 1) * size)
        return inputs[own], {name: values[own] for name, values in targets.items()}

    def _rows(self, turn: int) -> Indices:
        """Return the order of a pass, (N, devices)."""
        devices = self.share.devices
        order = self._order(turn)
        return np.resize(order, (math.ceil(len(order) / devices), devices))

    def _order(self, turn: int) -> Indices:
        if not self.shuffle:
            return np.arange(len(self.source))
        rng = np.random.default_rng((self.seed, turn, _ORDER_STREAM))
        return rng.permutation(len(self.source))
