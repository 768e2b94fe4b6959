"""What each operation of ``keras.ops`` is made of: layers that have an integer operator.

A function takes the operation and the arguments it was called with, computed tensors as symbolic
Keras tensors, and calls layers on them. To add an operation, write one and enter it in its file.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from quantdet.quant.operations.choices import CHOICES, check_truths
from quantdet.quant.operations.elementwise import ELEMENTWISE
from quantdet.quant.operations.normalization import NORMALIZATIONS, group_norm, normalization
from quantdet.quant.operations.operands import UnsupportedError
from quantdet.quant.operations.products import PRODUCTS, einsum_dense, softmax
from quantdet.quant.operations.reductions import REDUCTIONS
from quantdet.quant.operations.shapes import SHAPES, center_crop
from quantdet.quant.operations.spatial import SPATIAL
from quantdet.quant.tensors import Tensor

__all__ = ["LAYERS", "OPERATIONS", "UnsupportedError", "check_truths", "operation_name"]

OPERATIONS: dict[str, Callable[..., Tensor]] = {
    **ELEMENTWISE,
    **CHOICES,
    **SHAPES,
    **REDUCTIONS,
    **SPATIAL,
    **PRODUCTS,
    **NORMALIZATIONS,
}
"""``module.Class`` of Keras → function. Modules tell Keras' own from look-alikes."""


def _recurrent(_: keras.Layer, *__: Tensor, **___: Tensor) -> Tensor:
    """Refuse a loop over time.

    Raises:
        UnsupportedError: always.
    """
    raise UnsupportedError(
        "repeats over time, which no integer operator does; use convolutions over time (Conv1D), "
        "or attention"
    )


LAYERS: dict[type, Callable[..., Tensor]] = {
    **dict.fromkeys(
        (
            keras.layers.RNN,
            keras.layers.SimpleRNN,
            keras.layers.LSTM,
            keras.layers.GRU,
            keras.layers.Bidirectional,
            keras.layers.ConvLSTM1D,
            keras.layers.ConvLSTM2D,
        ),
        _recurrent,
    ),
    keras.layers.CenterCrop: center_crop,
    keras.layers.EinsumDense: einsum_dense,
    keras.layers.GroupNormalization: group_norm,
    keras.layers.Normalization: normalization,
    keras.layers.Softmax: softmax,
}
"""Layers whose own ``call`` does not show what they compute, or not in the best form."""

_HOMES = {
    "keras.src.ops.": "",
    "keras.src.activations.activations": "activations",
}


def operation_name(operation: keras.Operation) -> str | None:
    """Return the key of ``OPERATIONS`` for a bare Keras operation; None for anything else."""
    kind = type(operation)
    for home, prefix in _HOMES.items():
        if kind.__module__.startswith(home):
            return f"{prefix}{kind.__module__.removeprefix(home)}.{kind.__qualname__}"
    return None
