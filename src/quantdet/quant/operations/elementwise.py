"""Arithmetic and activations."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np

from quantdet.quant.operations.operands import (
    Floats,
    UnsupportedError,
    is_tensor,
    numbers,
    tensor,
)
from quantdet.quant.primitives import Clip, Unary
from quantdet.quant.tensors import Tensor


def add(_: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return a + b as Keras computes it."""
    return plus(a, b) if is_tensor(b) else plus(a, _as_keras_adds(a, numbers(b)))


def _as_keras_adds(x: Tensor, constant: Floats) -> Floats:
    """Return a constant with the axes on which Keras adds it to ``x``.

    Keras on TensorFlow takes what can be squeezed to a vector for a bias, and adds it on another
    axis than NumPy where the length fits there (``keras.src.backend.tensorflow.numpy.add``). Other
    versions and backends may not: Keras is asked, not imitated.
    """
    shape = x.shape[1:]
    if constant.size == 1 or None in shape:
        return constant
    pictures, values = np.zeros((2, *shape), np.float32), constant.astype(np.float32)
    added = keras.ops.convert_to_numpy(keras.ops.add(pictures, values))
    return constant if np.array_equal(added, pictures + values) else _without_repeats(added[0])


def _without_repeats(values: Floats) -> Floats:
    """Return an array of which broadcasting makes the same."""
    for axis in range(values.ndim):
        first = values.take([0], axis)
        values = first if (values == first).all() else values
    return values


def plus(a: Tensor, b: Tensor) -> Tensor:
    """Return a + b as NumPy broadcasts them."""
    if is_tensor(a) and is_tensor(b):
        return keras.layers.Add()([a, b])
    x, constant = (a, b) if is_tensor(a) else (b, a)
    return _affine_or(keras.layers.Add, x, constant, (1.0, numbers(constant)))


def subtract(_: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return a - b."""
    if is_tensor(a) and is_tensor(b):
        return keras.layers.Subtract()([a, b])
    if is_tensor(a):
        return plus(a, -numbers(b))
    return plus(negative(_, b), a)


def multiply(_: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return a * b."""
    if is_tensor(a) and is_tensor(b):
        return keras.layers.Multiply()([a, b])
    x, constant = (a, b) if is_tensor(a) else (b, a)
    return _affine_or(keras.layers.Multiply, x, constant, (numbers(constant), 0.0))


def divide(_: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return a / b as a times 1 / b: LiteRT's integer DIV is wrong for small quotients (2.1)."""
    if not is_tensor(b):
        return multiply(_, a, 1.0 / numbers(b))
    inverse = Unary("reciprocal")(b)
    return inverse if not is_tensor(a) and np.all(numbers(a) == 1.0) else multiply(_, a, inverse)


def _affine_or(layer: type, x: Tensor, constant: Tensor, line: tuple[Tensor, Tensor]) -> Tensor:
    """Return scale * x + offset as Rescaling, or ``layer`` with the constant as a tensor.

    The latter where the constant is more than a number per channel.
    """
    values = [_per_channel(np.asarray(value, np.float64), x) for value in line]
    if any(value is None for value in values):
        return layer()([x, tensor(constant, x)])
    return keras.layers.Rescaling(*(value.tolist() for value in values if value is not None))(x)


def _per_channel(value: Floats, x: Tensor) -> Floats | None:
    """Return a constant as number or vector over the last axis; None if it is neither."""
    if value.size == 1 and value.ndim <= len(x.shape):
        return value.reshape(())
    # The converter, too, drops what adds 0 everywhere or multiplies by 1.
    if value.min() == value.max() and _spreads_over(value, x):
        return value.reshape(-1)[:1].reshape(())
    vector = value.ndim <= len(x.shape) and value.size == value.shape[-1] == x.shape[-1]
    return value.reshape(-1) if vector else None


def _spreads_over(value: Floats, x: Tensor) -> bool:
    """Tell whether the result of a constant and a tensor has the shape of the tensor."""
    ends = zip(value.shape[::-1], x.shape[::-1], strict=False)
    return value.ndim <= len(x.shape) and all(size in {1, own} for size, own in ends)


def negative(_: keras.Operation, x: Tensor) -> Tensor:
    """Return -x."""
    return keras.layers.Rescaling(-1.0)(x)


def square(_: keras.Operation, x: Tensor) -> Tensor:
    """Return x * x."""
    return keras.layers.Multiply()([x, x])


def power(_: keras.Operation, x: Tensor, exponent: Tensor) -> Tensor:
    """Return x to the power of a number."""
    if not is_tensor(x):
        raise UnsupportedError("has a computed exponent")
    known: dict[float, Callable[[Tensor, Tensor], Tensor]] = {
        1.0: lambda _, value: value,
        2.0: square,
        0.5: unary("sqrt"),
        -0.5: unary("rsqrt"),
        -1.0: reciprocal,
    }
    values = numbers(exponent)
    number = float(values.reshape(())) if values.size == 1 else math.nan
    if number in known:
        return known[number](_, x)
    if not number > 0:
        raise UnsupportedError(
            f"has the exponent {exponent!r}; supported are -1, -0.5, numbers > 0"
        )
    return Unary("power", number)(x)


def reciprocal(_: keras.Operation, x: Tensor) -> Tensor:
    """Return 1 / x."""
    return Unary("reciprocal")(x)


def joining(layer: type) -> Callable[..., Tensor]:
    """Return the function of a layer that joins two tensors of one range."""

    def join(_: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
        like = a if is_tensor(a) else b
        return layer()([tensor(a, like), tensor(b, like)])

    return join


def maximum(_: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return max(a, b); with the constant 0 that is a ReLU."""
    x, other = (a, b) if is_tensor(a) else (b, a)
    if not is_tensor(other) and not numbers(other).any():
        return keras.layers.ReLU()(x)
    return joining(keras.layers.Maximum)(_, a, b)


def activation(name: str) -> Callable[..., Tensor]:
    """Return the function of a Keras activation."""
    return lambda _, x: keras.layers.Activation(name)(x)


def unary(name: str, option: str = "") -> Callable[..., Tensor]:
    """Return the function of a ``primitives.Unary``; ``option`` is its parameter."""
    return lambda op, x: Unary(name, float(getattr(op, option)) if option else 1.0)(x)


def leaky_relu(op: keras.Operation, x: Tensor) -> Tensor:
    """Return x for x > 0, slope * x otherwise."""
    return keras.layers.LeakyReLU(negative_slope=float(op.negative_slope))(x)


def relu_with_options(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``keras.activations.relu`` with a slope or an upper end."""
    if op.threshold:
        raise UnsupportedError(f"has threshold={op.threshold}, which no integer kernel supports")
    if not op.negative_slope:
        return clip_to(x, 0.0, math.inf if op.max_value is None else float(op.max_value))
    leaky = leaky_relu(op, x)
    return leaky if op.max_value is None else clip_to(leaky, -math.inf, float(op.max_value))


def clip(op: keras.Operation, x: Tensor) -> Tensor:
    """Return x cut to [x_min, x_max]."""
    lower, upper = (float(numbers(end).reshape(-1)[0]) for end in (op.x_min, op.x_max))
    return clip_to(x, lower, upper)


def clip_to(x: Tensor, lower: float, upper: float) -> Tensor:
    """Return x cut to [lower, upper]."""
    if lower == 0 and upper in (1.0, 6.0, math.inf):
        return keras.layers.ReLU(None if upper == math.inf else upper)(x)
    if lower <= 0 <= upper and np.isfinite([lower, upper]).all():
        return Clip(lower, upper)(x)
    bounded = x
    for layer, end in ((keras.layers.Maximum, lower), (keras.layers.Minimum, upper)):
        if np.isfinite(end):
            bounded = layer()([bounded, tensor(end, x)])
    return bounded


def hard_tanh(_: keras.Operation, x: Tensor) -> Tensor:
    """Return x cut to [-1, 1]."""
    return clip_to(x, -1.0, 1.0)


def gelu(op: keras.Operation, x: Tensor) -> Tensor:
    """Return x * Phi(x) (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""
    return Unary("gelu_tanh" if op.approximate else "gelu")(x)


def sparse_sigmoid(_: keras.Operation, x: Tensor) -> Tensor:
    """Return (x + 1) / 2 cut to [0, 1]."""
    return clip_to(keras.layers.Rescaling(0.5, offset=0.5)(x), 0.0, 1.0)


def same(_: keras.Operation, x: Tensor) -> Tensor:
    """Return x."""
    return x


def cast(op: keras.Operation, x: Tensor) -> Tensor:
    """Return x; between float types the integer file makes no difference."""
    if "float" not in str(op.dtype) or "float" not in str(x.dtype):
        raise UnsupportedError(f"casts {x.dtype} to {op.dtype}; only float types are supported")
    return x


ELEMENTWISE: dict[str, Callable[..., Tensor]] = {
    "numpy.Add": add,
    "numpy.Subtract": subtract,
    "numpy.Multiply": multiply,
    "numpy.Divide": divide,
    "numpy.TrueDivide": divide,
    "numpy.Maximum": maximum,
    "numpy.Minimum": joining(keras.layers.Minimum),
    "numpy.Negative": negative,
    "numpy.Square": square,
    "numpy.Power": power,
    "numpy.Reciprocal": reciprocal,
    "numpy.Absolute": unary("abs"),
    "numpy.Abs": unary("abs"),
    "numpy.Exp": unary("exp"),
    "numpy.Log": unary("log"),
    "numpy.Sqrt": unary("sqrt"),
    "math.Rsqrt": unary("rsqrt"),
    "numpy.Clip": clip,
    "numpy.Tanh": activation("tanh"),
    "nn.Relu": activation("relu"),
    "nn.Relu6": activation("relu6"),
    "nn.Sigmoid": activation("sigmoid"),
    "nn.Silu": activation("silu"),
    "nn.HardSigmoid": activation("hard_sigmoid"),
    "nn.HardSilu": activation("hard_silu"),
    "nn.LeakyRelu": leaky_relu,
    "nn.HardTanh": hard_tanh,
    "nn.Elu": unary("elu", "alpha"),
    "nn.Selu": unary("selu"),
    "nn.Gelu": gelu,
    "nn.Softplus": unary("softplus"),
    "nn.LogSigmoid": unary("log_sigmoid"),
    "nn.Celu": unary("celu", "alpha"),
    "nn.HardShrink": unary("hard_shrink", "threshold"),
    "nn.SoftShrink": unary("soft_shrink", "threshold"),
    "nn.SparsePlus": unary("sparse_plus"),
    "nn.Squareplus": unary("squareplus", "b"),
    "nn.SparseSigmoid": sparse_sigmoid,
    "activations.ReLU": relu_with_options,
    "activations.Mish": unary("mish"),
    "nn.TanhShrink": unary("tanh_shrink"),
    "nn.Softsign": unary("softsign"),
    "math.Erf": unary("erf"),
    "numpy.Sin": unary("sin"),
    "numpy.Cos": unary("cos"),
    "numpy.Arctan": unary("arctan"),
    "numpy.Sinh": unary("sinh"),
    "numpy.Cosh": unary("cosh"),
    "numpy.Arcsinh": unary("arcsinh"),
    "numpy.Expm1": unary("expm1"),
    "numpy.Log1p": unary("log1p"),
    "numpy.NanToNum": same,
    "core.StopGradient": same,
    "core.ConvertToTensor": same,
    "core.Cast": cast,
}
