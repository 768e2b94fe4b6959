"""Layers for operators that LiteRT has and Keras knows only as bare operations.

The reader (reader.py) puts them in the place of ``keras.ops`` calls; a prepared model is saved and
loaded with them. Axes, shapes and slices leave the batch axis out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import keras
import numpy as np
from keras import ops

from quantdet.quant.tensors import Shape, Tensor

_PACKAGE = "quantdet"


class Primitive(keras.layers.Layer):
    """A layer whose configuration is the arguments named in ``options``."""

    options: ClassVar[tuple[str, ...]] = ()

    def get_config(self) -> dict[str, object]:
        """Return the constructor arguments."""
        return {**super().get_config(), **{name: getattr(self, name) for name in self.options}}


@keras.saving.register_keras_serializable(_PACKAGE)
class Constant(Primitive):
    """A tensor that does not depend on the input, once per picture of the batch.

    Args:
        shape: of the value for one picture.

    Call it on any input of the model; it only takes the size of the batch from there.
    """

    options = ("shape",)

    def __init__(self, shape: Sequence[int], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.shape = [int(size) for size in shape]

    def build(self, input_shape: Shape) -> None:
        """Create the value."""
        self.value = self.add_weight(shape=self.shape, name="value")
        super().build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the value, shape (batch, *shape)."""
        return ops.broadcast_to(self.value, (ops.shape(inputs)[0], *self.shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (batch, *shape)."""
        return (input_shape[0], *self.shape)


@keras.saving.register_keras_serializable(_PACKAGE)
class Slice(Primitive):
    """A part of the input: begin:end:stride of each axis.

    Args:
        slices: (begin, end, stride) for each axis; None as Python's slices have it.
    """

    options = ("slices",)

    def __init__(self, slices: Sequence[Sequence[int | None]], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.slices = [list(part) for part in slices]

    def call(self, inputs: Tensor) -> Tensor:
        """Return the part."""
        return inputs[(slice(None), *(slice(*part) for part in self.slices))]


@keras.saving.register_keras_serializable(_PACKAGE)
class Gather(Primitive):
    """Chosen positions along one axis.

    Args:
        indices: positions, flat.
        axis: along which, 1 for the first behind the batch.
    """

    options = ("indices", "axis")

    def __init__(self, indices: Sequence[int], axis: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.indices = [int(index) for index in indices]
        self.axis = axis

    def call(self, inputs: Tensor) -> Tensor:
        """Return the positions."""
        return ops.take(inputs, np.asarray(self.indices, np.int32), axis=self.axis)


@keras.saving.register_keras_serializable(_PACKAGE)
class BroadcastTo(Primitive):
    """The input repeated to a larger shape, by numpy's rules.

    Args:
        shape: of the result for one picture.
    """

    options = ("shape",)

    def __init__(self, shape: Sequence[int], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.shape = [int(size) for size in shape]

    def call(self, inputs: Tensor) -> Tensor:
        """Return the repeated input."""
        return ops.broadcast_to(inputs, (ops.shape(inputs)[0], *self.shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (batch, *shape)."""
        return (input_shape[0], *self.shape)


@keras.saving.register_keras_serializable(_PACKAGE)
class MirrorPad(Primitive):
    """Padding with the picture's own border.

    Args:
        paddings: (before, behind) of each axis.
        mode: "reflect" (without the border itself) or "symmetric".
    """

    options = ("paddings", "mode")

    def __init__(self, paddings: Sequence[Sequence[int]], mode: str, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.paddings = [list(pair) for pair in paddings]
        self.mode = mode

    def call(self, inputs: Tensor) -> Tensor:
        """Return the padded input."""
        return ops.pad(inputs, [[0, 0], *self.paddings], mode=self.mode)


REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "mean": ops.mean,
    "max": ops.max,
    "min": ops.min,
}


@keras.saving.register_keras_serializable(_PACKAGE)
class Reduce(Primitive):
    """Mean, largest or smallest value over axes.

    Args:
        function: name in ``REDUCTIONS``.
        axes: 1 for the first behind the batch.
        keepdims: leave them with size 1.
    """

    options = ("function", "axes", "keepdims")

    def __init__(
        self, function: str, axes: Sequence[int], keepdims: bool, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.function = function
        self.axes = [int(axis) for axis in axes]
        self.keepdims = keepdims

    def call(self, inputs: Tensor) -> Tensor:
        """Return the reduced input."""
        return REDUCTIONS[self.function](inputs, axis=tuple(self.axes), keepdims=self.keepdims)


Function = Callable[[Tensor, float], Tensor]
NATIVE: dict[str, tuple[str, Function]] = {
    "abs": ("ABS", lambda x, _: ops.abs(x)),
    "exp": ("EXP", lambda x, _: ops.exp(x)),
    "log": ("LOG", lambda x, _: ops.log(x)),
    "sqrt": ("SQRT", lambda x, _: ops.sqrt(x)),
    "rsqrt": ("RSQRT", lambda x, _: ops.rsqrt(x)),
    "gelu": ("GELU", lambda x, _: ops.gelu(x, approximate=False)),
    "gelu_tanh": ("GELU", lambda x, _: ops.gelu(x, approximate=True)),
}
"""Function of one value → the operator that LiteRT has for it, and the function."""
TRUTHS: dict[str, Function] = {
    "greater": lambda x, bound: ops.cast(x > bound, x.dtype),
    "greater_equal": lambda x, bound: ops.cast(x >= bound, x.dtype),
    "less": lambda x, bound: ops.cast(x < bound, x.dtype),
    "less_equal": lambda x, bound: ops.cast(x <= bound, x.dtype),
    "is_zero": lambda x, _: ops.cast(x == 0, x.dtype),
    "logical_not": lambda x, _: 1 - x,
}
"""Function of one value that is 0 or 1."""
TABULATED: dict[str, Function] = {
    **TRUTHS,
    "elu": lambda x, alpha: ops.elu(x, alpha=alpha),
    "celu": lambda x, alpha: ops.celu(x, alpha=alpha),
    "selu": lambda x, _: ops.selu(x),
    "softplus": lambda x, _: ops.softplus(x),
    "softsign": lambda x, _: ops.softsign(x),
    "log_sigmoid": lambda x, _: ops.log_sigmoid(x),
    "tanh_shrink": lambda x, _: ops.tanh_shrink(x),
    "mish": lambda x, _: x * ops.tanh(ops.softplus(x)),
    "hard_shrink": lambda x, bound: ops.hard_shrink(x, threshold=bound),
    "soft_shrink": lambda x, bound: ops.soft_shrink(x, threshold=bound),
    "sparse_plus": lambda x, _: ops.sparse_plus(x),
    "squareplus": lambda x, b: ops.squareplus(x, b=b),
    "erf": lambda x, _: ops.erf(x),
    "sin": lambda x, _: ops.sin(x),
    "cos": lambda x, _: ops.cos(x),
    "arctan": lambda x, _: ops.arctan(x),
    "sinh": lambda x, _: ops.sinh(x),
    "cosh": lambda x, _: ops.cosh(x),
    "arcsinh": lambda x, _: ops.arcsinh(x),
    "expm1": lambda x, _: ops.expm1(x),
    # The grid may reach below what the function takes.
    "log1p": lambda x, _: ops.log1p(ops.maximum(x, -1 + 1e-6)),
    "power": lambda x, n: ops.power(x if n.is_integer() else ops.relu(x), n),
    # As large as the range allows where there is no value.
    "reciprocal": lambda x, _: 1.0 / ops.where(x == 0, 1e-30, x),
}
"""Function of one value that the file looks up in a table."""


@keras.saving.register_keras_serializable(_PACKAGE)
class Unary(Primitive):
    """A function of each value by itself.

    Args:
        function: name in ``NATIVE`` or ``TABULATED``.
        alpha: parameter of "elu" and the like, bound of a comparison, exponent of "power".
    """

    options = ("function", "alpha")

    def __init__(self, function: str, alpha: float = 1.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.function = function
        self.alpha = float(alpha)

    def call(self, inputs: Tensor) -> Tensor:
        """Return f(x)."""
        if self.function in NATIVE:
            return NATIVE[self.function][1](inputs, self.alpha)
        return TABULATED[self.function](inputs, self.alpha)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input shape."""
        return input_shape


@keras.saving.register_keras_serializable(_PACKAGE)
class Clip(Primitive):
    """Values cut to [lower, upper], which holds 0: the range of integers cuts them.

    Args:
        lower: <= 0.
        upper: >= 0.
    """

    options = ("lower", "upper")

    def __init__(self, lower: float, upper: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.lower = float(lower)
        self.upper = float(upper)

    def call(self, inputs: Tensor) -> Tensor:
        """Return the clipped input."""
        return ops.clip(inputs, self.lower, self.upper)


@keras.saving.register_keras_serializable(_PACKAGE)
class MatMul(Primitive):
    """The matrix product of two computed tensors over their last two axes.

    Args:
        transpose_b: take the second tensor's last two axes the other way round.
    """

    options = ("transpose_b",)

    def __init__(self, transpose_b: bool = False, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.transpose_b = transpose_b

    def call(self, inputs: Tensor) -> Tensor:
        """Return ``inputs[0] @ inputs[1]``."""
        a, b = inputs
        return ops.matmul(a, ops.swapaxes(b, -1, -2) if self.transpose_b else b)
