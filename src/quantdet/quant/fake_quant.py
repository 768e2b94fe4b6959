"""Rounding that gradients pass through, and the gradients of ranges and scales.

Rounding has the gradient 1 (straight-through estimator, Bengio et al. 2013, arXiv:1308.3432).
With it a range or scale can be learned like a weight (LSQ: Esser et al. 2020, arXiv:1902.08153;
with a zero point, LSQ+: Bhalgat et al. 2020, arXiv:2004.09576):

    d x_q / d max = 1                       for x above the range
                    (x_q - x) / (max - min) inside
    d x_q / d min = 1                       for x below the range
                    (x - x_q) / (max - min) inside

Outside, a wider range would follow the value; inside, a finer grid would round less.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import keras
from keras import ops

from quantdet.quant.tensors import Tensor

Axes = tuple[int, ...] | None


def _one_program(
    function: Callable[..., Tensor], constant: tuple[str, ...] = ()
) -> Callable[..., Tensor]:
    """Return ``function`` compiled as a whole on JAX; elsewhere as it is.

    Outside a training step JAX compiles every operator for every shape: a dozen programs for the
    rounding of one tensor, which for a detector's calibration takes minutes. Arguments that are
    ``constant`` are compiled in.
    """
    if keras.backend.backend() != "jax":
        return function
    import jax

    compiled: Callable[..., Tensor] = jax.jit(function, static_argnames=constant)
    return compiled


@_one_program
def round_through(values: Tensor, step: Tensor = 1.0) -> Tensor:
    """Return ``round(values / step) * step`` with the gradient of ``values``."""
    return values + ops.stop_gradient(ops.round(values / step) * step - values)


def to_grid(values: Tensor, minimum: Tensor, maximum: Tensor) -> Tensor:
    """Return values on the uint8 grid of a range; gradient 1 inside, 0 outside, none for the range.

    On TensorFlow this is one native operator forth and one back, which costs least.
    """
    if keras.backend.backend() == "tensorflow":
        return _to_grid_tensorflow(values, minimum, maximum)
    return _to_grid_keras(values, *(ops.convert_to_tensor(end) for end in (minimum, maximum)))


@_one_program
def _to_grid_keras(values: Tensor, minimum: Tensor, maximum: Tensor) -> Tensor:
    return keras.quantizers.fake_quant_with_min_max_vars(values, minimum, maximum, num_bits=8)


def _to_grid_tensorflow(values: Tensor, minimum: Tensor, maximum: Tensor) -> Tensor:
    import tensorflow as tf

    low, high = (ops.convert_to_tensor(end) for end in (minimum, maximum))

    def fake_quant(x: Tensor) -> tuple[Tensor, Tensor]:
        def backward(gradient: Tensor) -> Tensor:
            # The gradient of TensorFlow's own fake quantization also sums up the gradients of the
            # range, which takes twice as long: a fifth of a training step.
            return tf.raw_ops.QuantizeAndDequantizeV4Grad(
                gradients=gradient, input=x, input_min=low, input_max=high, axis=-1
            )[0]

        return tf.quantization.fake_quant_with_min_max_vars(x, low, high), backward

    return tf.custom_gradient(fake_quant)(values)


def to_symmetric_grid(values: Tensor, largest: Tensor) -> Tensor:
    """Return values on the int16 grid of [-largest, largest]."""
    return keras.quantizers.fake_quant_with_min_max_vars(
        values, -largest, largest, num_bits=16, narrow_range=True
    )


def to_learned_grid(values: Tensor, minimum: Tensor, maximum: Tensor) -> Tensor:
    """Return what :func:`to_grid` does, with the gradients of LSQ+ for the range.

    What is added here is 0 and only has gradients; Keras' own for the range differ between
    backends where a value lies right on its end.
    """
    count = math.prod(values.shape[1:])
    minimum = scale_gradient(minimum, 1.0 / math.sqrt(count * 255))
    maximum = scale_gradient(maximum, 1.0 / math.sqrt(count * 255))
    low, high = ops.stop_gradient(minimum), ops.stop_gradient(maximum)
    on_grid = to_grid(values, low, high)
    rounding = (on_grid - ops.clip(values, low, high)) / (high - low)
    below, above = (ops.cast(beyond, "float32") for beyond in (values < low, values > high))
    return (
        on_grid
        + ops.stop_gradient(below - rounding) * (minimum - low)
        + ops.stop_gradient(above + rounding) * (maximum - high)
    )


@partial(_one_program, constant=("axes",))
def scale_of_largest(weights: Tensor, least: float, levels: int, axes: Axes) -> Tensor:
    """Return the scale at which the largest weight, at least ``least``, is the integer ``levels``.

    It has no gradient.

    Args:
        weights: of any shape.
        least: taken for weights that are smaller.
        levels: largest integer.
        axes: those that share a scale; None for all.
    """
    largest = ops.max(ops.abs(weights), axis=axes)
    return ops.stop_gradient(ops.maximum(largest, least) / levels)


def weights_to_grid(weights: Tensor, scale: Tensor, largest: int) -> Tensor:
    """Return ``clip(round(weights / scale), -largest, largest) * scale`` with LSQ's gradients.

    Args:
        weights: of any shape.
        scale: broadcasts against the weights; positive.
        largest: integer, 127 for 8 bit.
    """
    # Up to half a step beyond it a weight is rounded to the largest integer, not clipped: whether
    # float noise puts the one that defined the scale at 127 or 127.00001 must not matter.
    reach = largest + 0.499
    return round_through(ops.clip(weights / scale, -reach, reach)) * scale


def scale_gradient(value: Tensor, factor: float) -> Tensor:
    """Return ``value`` with its gradient times ``factor``.

    LSQ divides by sqrt(count of values * largest integer): a scale hears every value of its
    tensor and would else move much faster than the weights (section 2.2).
    """
    return value * factor + ops.stop_gradient(value * (1.0 - factor))
