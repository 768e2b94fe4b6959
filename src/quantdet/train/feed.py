"""Batches as Keras takes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.runtime.pixels import to_real
from quantdet.train.batches import ALONE, Batches, BatchSource, Share
from quantdet.train.workers import Workers, batches_made_beside

_REAL_VALUES = to_real(np.arange(256))


class EpochBatches(keras.utils.PyDataset):
    """A source cut into batches, in an order of its own each pass; see :class:`Batches`.

    An epoch has ``passes`` over the source, one unless that is set.

    ``epoch`` must be set before each epoch; :func:`quantdet.train.loop.fit` does.
    """

    def __init__(
        self,
        source: BatchSource,
        batch_size: int,
        seed: int,
        *,
        shuffle: bool,
        share: Share = ALONE,
    ) -> None:
        super().__init__()
        self.epoch, self.passes = 0, 1
        self._helpers: Workers | None = None
        self.plan = Batches(source, batch_size, seed, shuffle, share)

    def __len__(self) -> int:
        return self.plan.per_pass * self.passes

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        number = self.epoch * len(self) + index
        made = self._helpers.take(number) if self._helpers else None
        inputs, targets = made or self.plan[number]
        return model_inputs(inputs), targets

    @contextmanager
    def made_beside(self, numbers: range, workers: int) -> Iterator[None]:
        """Let so many processes make the batches ``numbers``, counted from the first epoch on.

        They are the same batches. Others, and all where there are no workers or where they end
        early, are made when they are asked for.
        """
        with batches_made_beside(self.plan, numbers, workers) as helpers:
            self._helpers = helpers
            try:
                yield
            finally:
                self._helpers = None


def model_inputs(inputs: NDArray[np.number]) -> Any:
    """Return pixels as real values, which JAX and PyTorch compute on their device.

    A GPU gets a quarter of the bytes so. TensorFlow's data pipeline takes arrays of the host, and
    so does what hands a batch to several devices.
    """
    if inputs.dtype != np.uint8:
        return inputs
    if keras.backend.backend() == "tensorflow" or keras.distribution.distribution() is not None:
        return to_real(inputs)
    # Looked up: XLA divides by multiplying with the reciprocal, which differs in the last bit.
    return keras.ops.take(
        _REAL_VALUES, keras.ops.cast(keras.ops.convert_to_tensor(inputs), "int32")
    )
