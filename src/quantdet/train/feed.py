"""Batches as Keras takes them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.runtime.pixels import PIXEL_OFFSET, PIXEL_SCALE, to_real
from quantdet.train.batches import Batches, BatchSource
from quantdet.train.workers import Workers


class EpochBatches(keras.utils.PyDataset):
    """A source cut into batches, in an order of its own each epoch; see :class:`Batches`.

    ``epoch`` must be set before each epoch; :func:`quantdet.train.loop.fit` does.
    """

    def __init__(self, source: BatchSource, batch_size: int, seed: int, *, shuffle: bool) -> None:
        super().__init__()
        self.epoch = 0
        self.made_beside: Workers | None = None
        self.plan = Batches(source, batch_size, seed, shuffle)

    def __len__(self) -> int:
        return self.plan.per_epoch

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        number = self.epoch * len(self) + index
        made = self.made_beside.take(number) if self.made_beside else None
        inputs, targets = made or self.plan[number]
        return model_inputs(inputs), targets


def model_inputs(inputs: NDArray[np.number]) -> Any:
    """Return pixels as real values, which JAX and PyTorch compute on their device.

    A GPU gets a quarter of the bytes so. TensorFlow's data pipeline takes arrays of the host.
    """
    if inputs.dtype != np.uint8:
        return inputs
    if keras.backend.backend() == "tensorflow":
        return to_real(inputs)
    pixels = keras.ops.cast(keras.ops.convert_to_tensor(inputs), "float32")
    return (pixels - PIXEL_OFFSET) / PIXEL_SCALE
