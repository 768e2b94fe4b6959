"""Arguments of an operation: computed tensors, numbers, axes."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.errors import QuantizationError
from quantdet.quant.primitives import Constant
from quantdet.quant.tensors import Tensor

Floats = NDArray[np.float64]


class UnsupportedError(QuantizationError):
    """An operation, or one of its options, that no integer operator stands for."""


def is_tensor(value: Tensor) -> bool:
    """Tell a computed tensor from a number."""
    return isinstance(value, keras.KerasTensor)


def numbers(value: Tensor) -> Floats:
    """Return a constant argument (number, array, variable) as float64 array.

    Raises:
        UnsupportedError: it is computed, or no number.
    """
    if is_tensor(value):
        raise UnsupportedError("needs a constant where a computed tensor is given")
    try:
        found = np.asarray(ops.convert_to_numpy(value))
    except (TypeError, ValueError):
        found = np.asarray(None)
    if found.dtype.kind not in "fiub" and "float" not in str(found.dtype):
        raise UnsupportedError(f"argument {value!r} is not a number")
    return found.astype(np.float64)


def tensor(value: Tensor, like: Tensor) -> Tensor:
    """Return ``value`` as a computed tensor of the rank of ``like``.

    A constant becomes a ``Constant`` layer, which takes the size of the batch from ``like``.
    """
    if is_tensor(value):
        return value
    array = numbers(value)
    rank = len(like.shape)
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    if array.ndim != rank or array.shape[0] != 1:
        raise UnsupportedError("a constant has its own batch axis; give it size 1")
    value = array[0]
    if max(value.shape[:-1], default=1) == value.size > 1 and like.shape[-1] is not None:
        # Keras on TensorFlow takes one picture + (8, 1, 1) for a bias of channels if there are 8.
        value = np.repeat(value, int(like.shape[-1]), axis=-1)
    layer = Constant(value.shape)
    result = layer(like)
    layer.value.assign(value.astype(np.float32))
    layer.trainable = False
    return result


def axis_of(axis: int, rank: int) -> int:
    """Return a positive axis.

    Raises:
        UnsupportedError: the batch axis.
    """
    found = axis % rank
    if found == 0:
        raise UnsupportedError("works on the batch axis, which the file does not have")
    return found


def axes_of(axes: int | Sequence[int] | None, rank: int) -> list[int]:
    """Return positive axes, sorted; None means all of them."""
    if axes is None:
        raise UnsupportedError("reduces the batch axis, too; name the axes: axis=(1, 2)")
    wanted = [axes] if isinstance(axes, int) else list(axes)
    return sorted(axis_of(int(axis), rank) for axis in wanted)


def reshape(x: Tensor, shape: Sequence[int | None]) -> Tensor:
    """Return ``x`` reshaped; ``shape`` leaves the batch out."""
    wanted = tuple(-1 if size is None else int(size) for size in shape)
    if wanted == tuple(x.shape[1:]):
        return x
    if wanted.count(-1) > 1:
        raise UnsupportedError("has several unknown sizes; fix the input size")
    return keras.layers.Reshape(wanted)(x)


def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Return ``x`` with its axes (batch included, first) in another order."""
    if list(axes) == list(range(len(axes))):
        return x
    if axes[0] != 0:
        raise UnsupportedError("moves the batch axis")
    return keras.layers.Permute(tuple(axes[1:]))(x)
