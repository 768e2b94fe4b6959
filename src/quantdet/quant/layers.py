"""Keras layers that simulate integer arithmetic in float ("fake quantization").

Weights: symmetric, narrow range, ``q = round(w / scale)`` in [-127, 127] (8 bit) or [-7, 7]
(4 bit), one scale per output channel or for the whole tensor.

Activations: uint8, asymmetric, or int16, symmetric. Gradients: fake_quant.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.quant.fake_quant import (
    round_through,
    scale_gradient,
    scale_of_largest,
    to_grid,
    to_learned_grid,
    to_symmetric_grid,
    weights_to_grid,
)
from quantdet.quant.numerics import QuantParams, params_from_range
from quantdet.quant.tensors import Shape, Tensor

_PACKAGE = "quantdet"
# Below this a channel counts as empty; keeps 0/0 out of all-zero channels.
_SMALLEST_RANGE = 1e-7
# A tensor that hardly leaves 0 still needs a grid; the converter alters scales near 1e-9.
_SMALLEST_ACTIVATION_RANGE = 1e-4
# Share of the past in a tracked range: it follows within some 100 steps.
_MOMENTUM = 0.98
_STORED = ("kernel", "bias", "scale", "scale_floor")

# XLA has no gradient of the native fake quantization (fake_quant.py). Keras' jit_compile="auto"
# would choose XLA on a GPU; told so here, it does not. JAX compiles everything by XLA, its own way.
_SUPPORTS_JIT = keras.backend.backend() != "tensorflow"

RANGES = ("calibrated", "learned", "tracked")
"""What training does with calibrated ranges: leaves them, learns them, or lets them follow the
extremes of the batches for some steps and then leaves them."""


@keras.saving.register_keras_serializable(_PACKAGE)
class ActivationQuantizer(keras.layers.Layer):
    """Rounds a tensor to the integer grid of its range.

    Args:
        lower: the float function clips here (0 for ReLU), None for no clipping.
        upper: the float function clips here (6 for ReLU6), None for no clipping.
        fixed: (minimum, maximum) that nothing may change, None to calibrate.
        bits: 8, or 16 with a symmetric range.
        ranges: one of ``RANGES``.
        track_steps: calls in training after which a tracked range stays.
        stands_for: label of the tensor in the float model that equals the rounded one
            (``reader.labelled_tensors``), None if there is none, or the range is that of several.
        divided_by: what the channels of that tensor are divided by to equal the rounded one, > 0
            each (equalize.py); None where they are not.

    A ReLU in front is absorbed: with the range inside [lower, upper] quantization clips anyway.
    """

    def __init__(  # noqa: PLR0913 - a Keras layer's configuration is its constructor's arguments
        self,
        *,
        lower: float | None = None,
        upper: float | None = None,
        fixed: tuple[float, float] | None = None,
        bits: int = 8,
        ranges: str = "calibrated",
        track_steps: int = 0,
        stands_for: str | None = None,
        divided_by: Sequence[float] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_jit = _SUPPORTS_JIT
        self.lower = lower
        self.upper = upper
        self.fixed = tuple(fixed) if fixed is not None else None
        self.bits = bits
        self.ranges = ranges
        self.track_steps = track_steps
        self.stands_for = stands_for
        self.divided_by = divided_by

    def build(self, input_shape: Shape) -> None:
        """Create the range; it means nothing before calibration unless it is fixed."""
        low, high = self.fixed or (0.0, 1.0)
        if self.bits == 16:
            low, high = -max(-low, high), max(-low, high)
        learned = self._changes("learned")
        # A range that the float function ends itself (ReLU at 0) has nothing to learn there.
        self.minimum = self._range_weight("minimum", low, learned and self.lower is None)
        self.maximum = self._range_weight("maximum", high, learned)
        if self._changes("tracked"):
            self.calls = self.add_weight(
                shape=(), initializer="zeros", trainable=False, dtype="float32", name="calls"
            )
        super().build(input_shape)

    def _changes(self, how: str) -> bool:
        return self.ranges == how and self.fixed is None

    def _range_weight(self, name: str, value: float, learned: bool) -> Tensor:
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(value),
            trainable=learned,
            constraint=_RangeEnd(name == "maximum", self.upper) if learned else None,
            dtype="float32",
            name=name,
        )

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Return ``inputs`` on the grid."""
        if self.bits == 16:
            return to_symmetric_grid(self.call_float(inputs), self.maximum)
        if self._changes("learned"):
            return to_learned_grid(inputs, self.minimum, self.maximum)
        if training and self._changes("tracked"):
            self._track(inputs)
        return to_grid(inputs, self.minimum, self.maximum)

    def _track(self, inputs: Tensor) -> None:
        values = ops.stop_gradient(self.call_float(inputs))
        old = (self.minimum.value, self.maximum.value)

        def follow() -> tuple[Tensor, Tensor]:
            low, high = ops.minimum(ops.min(values), 0.0), ops.maximum(ops.max(values), 0.0)
            return _towards(old[0], low), _towards(old[1], high)

        minimum, maximum = ops.cond(self.calls.value < self.track_steps, follow, lambda: old)
        self.minimum.assign(minimum)
        self.maximum.assign(maximum)
        self.calls.assign_add(1)

    def call_float(self, inputs: Tensor) -> Tensor:
        """Return what the float model computes here: only the clipping of a ReLU."""
        if self.lower is not None:
            inputs = ops.maximum(inputs, self.lower)
        if self.upper is not None:
            inputs = ops.minimum(inputs, self.upper)
        return inputs

    def set_range(self, minimum: float, maximum: float) -> None:
        """Set the range, cut to the clipping of the ReLU, with real 0 on the grid."""
        if self.lower is not None:
            minimum = max(minimum, self.lower)
        if self.upper is not None:
            maximum = min(maximum, self.upper)
        minimum, maximum = min(minimum, 0.0), max(maximum, 0.0)
        if maximum - minimum < _SMALLEST_ACTIVATION_RANGE:
            maximum = minimum + _SMALLEST_ACTIVATION_RANGE
        params = params_from_range(minimum, maximum, self.bits)
        self.minimum.assign(params.minimum)
        self.maximum.assign(params.maximum)

    def params(self) -> QuantParams:
        """Return scale and zero point (uint8 view, or int16)."""
        return params_from_range(
            float(ops.convert_to_numpy(self.minimum)),
            float(ops.convert_to_numpy(self.maximum)),
            self.bits,
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input shape."""
        return input_shape

    def get_config(self) -> dict[str, object]:
        """Return the constructor arguments."""
        names = (
            *("lower", "upper", "fixed", "bits", "ranges", "track_steps"),
            *("stands_for", "divided_by"),
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _towards(old: Tensor, new: Tensor) -> Tensor:
    return _MOMENTUM * old + (1.0 - _MOMENTUM) * new


class _RangeEnd(keras.constraints.Constraint):
    """Keeps a learned range around 0 and within the clipping of the float function."""

    def __init__(self, upper_end: bool, limit: float | None) -> None:
        self._upper_end = upper_end
        self._limit = limit

    def __call__(self, value: Tensor) -> Tensor:
        if not self._upper_end:
            return ops.minimum(value, 0.0)
        value = ops.maximum(value, _SMALLEST_ACTIVATION_RANGE)
        return value if self._limit is None else ops.minimum(value, self._limit)


class QuantizedWeights:
    """Adds fake quantization of ``kernel`` to a Keras layer with kernel and bias.

    Args:
        per_channel: one scale per output channel; otherwise one for the whole kernel.
        bits: 8 or 4.
        scales: "largest": ``max(|w|) / 127`` anew at every call, so no weight is ever clipped;
            "stored": as set with :meth:`set_scale`; "learned": the same, and trained (LSQ).

    ``scale_floor`` (one value per scale) keeps the int32 bias of nearly empty channels in
    range: ``|bias| / (scale_in * scale) < 2^29``. See docs/decisions/003.
    """

    kernel: Tensor
    bias: Tensor
    scale: Tensor
    scale_floor: Tensor
    # Axes of the kernel that share one scale; the others are the output channels.
    reduced_axes: tuple[int, ...] = (0, 1, 2)

    def __init__(
        self,
        *args: object,
        per_channel: bool = True,
        bits: int = 8,
        scales: str = "largest",
        **kwargs: object,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.supports_jit = _SUPPORTS_JIT
        self.per_channel = per_channel
        self.bits = bits
        self.scales = scales

    @property
    def levels(self) -> int:
        """Largest integer of the kernel: 127, or 7 with 4 bits."""
        return int(2 ** (self.bits - 1) - 1)

    def build(self, input_shape: Shape) -> None:
        """Create kernel, bias, scale and scale floor."""
        super().build(input_shape)  # type: ignore[misc]
        shape = self.kernel.shape[len(self.reduced_axes) :] if self.per_channel else ()
        self.scale = self._scale_weight("scale", shape, trainable=self.scales == "learned")
        self.scale_floor = self._scale_weight("scale_floor", shape, trainable=False)

    def _scale_weight(self, name: str, shape: Tensor, trainable: bool) -> Tensor:
        return self.add_weight(  # type: ignore[attr-defined]
            shape=shape,
            initializer="zeros",
            trainable=trainable,
            constraint="non_neg" if trainable else None,
            dtype="float32",
            name=name,
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Return the layer's output with the kernel on its grid."""
        return self.linear(inputs, self.kernel_on_grid(), self.bias)

    def call_float(self, inputs: Tensor) -> Tensor:
        """Return the layer's output with the kernel as it is."""
        return self.linear(inputs, self.kernel, self.bias)

    def linear(self, inputs: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """Return the layer's output for another kernel and bias of the same shape."""
        raise NotImplementedError

    def set_scale(self, scale: Tensor) -> None:
        """Set a stored or learned scale: shape of :meth:`weight_scale`."""
        self.scale.assign(scale)

    def store_scale(self, scale: Tensor) -> None:
        """Keep to a scale from here on: the largest weight is not looked for at every call."""
        self.set_scale(scale)
        self.scales = "stored"

    def weight_scale(self) -> Tensor:
        """Return the scales: shape of the output channels of the kernel, or a scalar."""
        return ops.maximum(self._unbounded_scale(), self.scale_floor)

    def _unbounded_scale(self) -> Tensor:
        if self.scales == "largest":
            axes = self.reduced_axes if self.per_channel else None
            kernel = ops.convert_to_tensor(self.kernel)
            return scale_of_largest(kernel, _SMALLEST_RANGE, self.levels, axes)
        if self.scales == "learned":
            count = math.prod(self.kernel.shape) / math.prod(self.scale.shape)
            return scale_gradient(self.scale, (count * self.levels) ** -0.5)
        return ops.convert_to_tensor(self.scale)

    def kernel_on_grid(self) -> Tensor:
        """Return the kernel rounded to its grid, with gradients for it and for a learned scale."""
        kernel = ops.convert_to_tensor(self.kernel)
        if self.scales == "largest":
            return round_through(kernel, self.weight_scale())
        return weights_to_grid(kernel, self.weight_scale(), self.levels)

    def integer_kernel(self) -> NDArray[np.int8]:
        """Return the integers that the device will hold, shape of the kernel."""
        kernel = ops.convert_to_numpy(self.kernel)
        steps = np.rint(kernel / ops.convert_to_numpy(self.weight_scale()))
        q: NDArray[np.int8] = np.clip(steps, -self.levels, self.levels).astype(np.int8)
        return q

    # Keras' own layers store only what they know of, kernel and bias.
    def save_own_variables(self, store: Tensor) -> None:
        """Store kernel, bias, scale and scale floor."""
        for name in _STORED:
            store[name] = getattr(self, name)

    def load_own_variables(self, store: Tensor) -> None:
        """Load what :meth:`save_own_variables` stored."""
        for name in _STORED:
            getattr(self, name).assign(store[name])

    def get_config(self) -> dict[str, object]:
        """Return the constructor arguments."""
        config = super().get_config()  # type: ignore[misc]
        names = ("per_channel", "bits", "scales")
        return {**config, **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(_PACKAGE)
class QuantConv2D(QuantizedWeights, keras.layers.Conv2D):
    """Conv2D with integer weights."""

    def linear(self, inputs: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """Return ``conv(inputs, kernel) + bias``."""
        outputs = ops.conv(
            inputs,
            kernel,
            strides=list(self.strides),
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return outputs + bias


@keras.saving.register_keras_serializable(_PACKAGE)
class QuantDepthwiseConv2D(QuantizedWeights, keras.layers.DepthwiseConv2D):
    """DepthwiseConv2D with integer weights; output channels are the last two axes."""

    reduced_axes = (0, 1)

    def linear(self, inputs: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """Return ``depthwise_conv(inputs, kernel) + bias``."""
        outputs = ops.depthwise_conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return outputs + bias


@keras.saving.register_keras_serializable(_PACKAGE)
class QuantConv2DTranspose(QuantizedWeights, keras.layers.Conv2DTranspose):
    """Conv2DTranspose with integer weights; its output channels are the third axis."""

    def linear(self, inputs: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """Return ``conv_transpose(inputs, kernel) + bias``."""
        outputs = ops.conv_transpose(
            inputs,
            kernel,
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return outputs + bias


@keras.saving.register_keras_serializable(_PACKAGE)
class QuantDense(QuantizedWeights, keras.layers.Dense):
    """Dense with integer weights."""

    reduced_axes = (0,)

    def linear(self, inputs: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """Return ``inputs @ kernel + bias``."""
        return ops.matmul(inputs, kernel) + bias


QUANTIZED_LAYERS: dict[type, type] = {
    keras.layers.Conv2D: QuantConv2D,
    keras.layers.DepthwiseConv2D: QuantDepthwiseConv2D,
    keras.layers.Conv2DTranspose: QuantConv2DTranspose,
    keras.layers.Dense: QuantDense,
}
# LiteRT's converter wants one scale for these kernels.
PER_TENSOR_ONLY = (QuantDense, QuantConv2DTranspose)
# All of LiteRT's kernel sets read 4 bit weights for these; others keep 8 bits.
INT4_KERNELS = (keras.layers.Conv2D, keras.layers.Dense)
