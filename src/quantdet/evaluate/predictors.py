"""Anything that answers pictures with detections: Keras models and .tflite files alike.

Every predictor takes the same cached pixels (one decoder, one resize kernel) and decodes with
the runtime's own code, so that a difference in accuracy is a difference of the models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantdet.data.mapped import Pictures
from quantdet.detections import Detections
from quantdet.quant.tensors import Tensor
from quantdet.runtime.contract import Contract
from quantdet.runtime.decoders import decode
from quantdet.runtime.detector import Detector
from quantdet.runtime.pixels import to_real

if TYPE_CHECKING:
    import keras

Outputs = Mapping[str, NDArray[np.number]]
"""Part of the contract → array, the batch in front."""
Sizes = Sequence[tuple[int, int]]
Predictor = Callable[[Pictures, Sizes], Iterator[Detections]]
"""(pixels uint8 (N, H, W, 3), original sizes) → unfiltered detections, picture by picture."""

# More is no faster on a CPU and takes gigabytes.
_BATCH = 8


def keras_predictor(model: keras.Model, contract: Contract) -> Predictor:
    """Return a predictor for a Keras model with outputs "boxes" and "scores".

    Args:
        model: float or fake-quantized.
        contract: says how outputs are decoded; its tensor types do not matter here.
    """

    def predict(pixels: Pictures, sizes: Sizes) -> Iterator[Detections]:
        for start in range(0, len(pixels), _BATCH):
            outputs = keras_outputs(model, pixels[start : start + _BATCH])
            yield from decode_batch(outputs, contract, sizes[start : start + _BATCH])

    return predict


def keras_outputs(
    model: Callable[[NDArray[np.float32]], Mapping[str, Tensor]], pixels: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of a Keras or exact model for uint8 pixels, the batch in front."""
    parts: list[dict[str, NDArray[np.float32]]] = []
    for start in range(0, len(pixels), _BATCH):
        outputs = model(to_real(pixels[start : start + _BATCH]))
        parts.append({name: np.asarray(value) for name, value in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def decode_batch(outputs: Outputs, contract: Contract, sizes: Sizes) -> list[Detections]:
    """Return the detections of outputs that have the batch in front."""
    return [
        decode({name: values[i] for name, values in outputs.items()}, contract, size)
        for i, size in enumerate(sizes)
    ]


def file_predictor(detector: Detector) -> Predictor:
    """Return a predictor for an exported file."""

    def predict(pixels: Pictures, sizes: Sizes) -> Iterator[Detections]:
        for picture, size in zip(pixels, sizes, strict=True):
            yield detector.detect_pixels(picture, size)

    return predict
