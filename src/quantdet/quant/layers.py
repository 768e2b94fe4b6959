"""Keras layers that simulate integer arithmetic in float ("fake quantization").

Weights: int8, symmetric, narrow range, ``q = round(w / scale)`` in [-127, 127] with
``scale = max(|w|) / 127`` over each output channel (or the whole tensor). The gradient passes
straight through the rounding (Bengio et al. 2013, arXiv:1308.3432); no weight is ever clipped,
because the largest one defines the scale.

Activations: uint8, asymmetric, fixed range; the gradient is 1 inside the range and 0 outside.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.quant.numerics import QuantParams, params_from_range

_PACKAGE = "quantdet"
WEIGHT_LEVELS = 127
# Below this a channel counts as empty; keeps 0/0 out of all-zero channels.
_SMALLEST_RANGE = 1e-7
# A tensor that hardly leaves 0 still needs a grid; the converter alters scales near 1e-9.
_SMALLEST_ACTIVATION_RANGE = 1e-4
_STORED = ("kernel", "bias", "scale_floor")


@keras.saving.register_keras_serializable(_PACKAGE)
class ActivationQuantizer(keras.layers.Layer):
    """Rounds a tensor to the uint8 grid of its range.

    Args:
        lower: the float function clips here (0 for ReLU), None for no clipping.
        upper: the float function clips here (6 for ReLU6), None for no clipping.
        fixed: (minimum, maximum) that calibration must not change, None to calibrate.

    A ReLU in front is absorbed: with the range inside [lower, upper] quantization clips anyway.
    """

    def __init__(
        self,
        lower: float | None = None,
        upper: float | None = None,
        fixed: tuple[float, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lower = lower
        self.upper = upper
        self.fixed = tuple(fixed) if fixed is not None else None

    def build(self, input_shape: Any) -> None:
        """Create the range; it means nothing before calibration unless it is fixed."""
        low, high = self.fixed or (0.0, 1.0)
        self.minimum = self._range_weight("minimum", low)
        self.maximum = self._range_weight("maximum", high)
        super().build(input_shape)

    def _range_weight(self, name: str, value: float) -> Any:
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(value),
            trainable=False,
            dtype="float32",
            name=name,
        )

    def call(self, inputs: Any) -> Any:
        """Return ``inputs`` on the grid."""
        return keras.quantizers.fake_quant_with_min_max_vars(
            inputs, self.minimum, self.maximum, num_bits=8
        )

    def call_float(self, inputs: Any) -> Any:
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
        params = params_from_range(minimum, maximum)
        self.minimum.assign(params.minimum)
        self.maximum.assign(params.maximum)

    def params(self) -> QuantParams:
        """Return scale and zero point (uint8 view)."""
        return params_from_range(
            float(ops.convert_to_numpy(self.minimum)), float(ops.convert_to_numpy(self.maximum))
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        return {**config, "lower": self.lower, "upper": self.upper, "fixed": self.fixed}


class QuantizedWeights:
    """Adds fake quantization of ``kernel`` to a Keras layer with kernel and bias.

    Args:
        per_channel: one scale per output channel; otherwise one for the whole kernel.

    ``scale_floor`` (one value per scale) keeps the int32 bias of nearly empty channels in
    range: ``|bias| / (scale_in * scale) < 2^30``. See docs/decisions/003.
    """

    kernel: Any
    bias: Any
    scale_floor: Any
    # Axes of the kernel that share one scale; the others are the output channels.
    reduced_axes: tuple[int, ...] = (0, 1, 2)

    def __init__(self, *args: Any, per_channel: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.per_channel = per_channel

    def build(self, input_shape: Any) -> None:
        """Create kernel, bias and scale floor."""
        super().build(input_shape)  # type: ignore[misc]
        self.scale_floor = self.add_weight(  # type: ignore[attr-defined]
            shape=self.kernel.shape[len(self.reduced_axes) :] if self.per_channel else (),
            initializer="zeros",
            trainable=False,
            dtype="float32",
            name="scale_floor",
        )

    def call(self, inputs: Any) -> Any:
        """Return the layer's output with the kernel on its grid."""
        return self.linear(inputs, self.kernel_on_grid(), self.bias)

    def call_float(self, inputs: Any) -> Any:
        """Return the layer's output with the kernel as it is."""
        return self.linear(inputs, self.kernel, self.bias)

    def linear(self, inputs: Any, kernel: Any, bias: Any) -> Any:
        """Return the layer's output for another kernel and bias of the same shape."""
        raise NotImplementedError

    def weight_scale(self) -> Any:
        """Return the scales: shape of the output channels of the kernel, or a scalar."""
        axes = self.reduced_axes if self.per_channel else None
        largest = ops.maximum(ops.max(ops.abs(self.kernel), axis=axes), _SMALLEST_RANGE)
        return ops.maximum(largest / WEIGHT_LEVELS, self.scale_floor)

    def kernel_on_grid(self) -> Any:
        """Return ``round(kernel / scale) * scale``, gradient passing straight through."""
        kernel = ops.convert_to_tensor(self.kernel)
        scale = ops.stop_gradient(self.weight_scale())
        on_grid = ops.round(kernel / scale) * scale
        return kernel + ops.stop_gradient(on_grid - kernel)

    def integer_kernel(self) -> NDArray[np.int8]:
        """Return the integers that the device will hold, shape of the kernel."""
        kernel = ops.convert_to_numpy(self.kernel)
        steps = np.rint(kernel / ops.convert_to_numpy(self.weight_scale()))
        q: NDArray[np.int8] = steps.astype(np.int8)
        return q

    # Keras' own layers store only what they know of, kernel and bias.
    def save_own_variables(self, store: Any) -> None:
        """Store kernel, bias and scale floor."""
        for name in _STORED:
            store[name] = getattr(self, name)

    def load_own_variables(self, store: Any) -> None:
        """Load what :meth:`save_own_variables` stored."""
        for name in _STORED:
            getattr(self, name).assign(store[name])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()  # type: ignore[misc]
        return {**config, "per_channel": self.per_channel}


@keras.saving.register_keras_serializable(_PACKAGE)
class QuantConv2D(QuantizedWeights, keras.layers.Conv2D):
    """Conv2D with int8 weights."""

    def linear(self, inputs: Any, kernel: Any, bias: Any) -> Any:
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
    """DepthwiseConv2D with int8 weights; output channels are the last two axes."""

    reduced_axes = (0, 1)

    def linear(self, inputs: Any, kernel: Any, bias: Any) -> Any:
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
class QuantDense(QuantizedWeights, keras.layers.Dense):
    """Dense with int8 weights."""

    reduced_axes = (0,)

    def linear(self, inputs: Any, kernel: Any, bias: Any) -> Any:
        """Return ``inputs @ kernel + bias``."""
        return ops.matmul(inputs, kernel) + bias


QUANTIZED_LAYERS: dict[type, type] = {
    keras.layers.Conv2D: QuantConv2D,
    keras.layers.DepthwiseConv2D: QuantDepthwiseConv2D,
    keras.layers.Dense: QuantDense,
}
