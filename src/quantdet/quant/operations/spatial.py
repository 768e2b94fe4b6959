"""Convolutions with given kernels, pooling and resizing; sequences are pictures of height 1."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from quantdet.quant.operations.operands import (
    Floats,
    UnsupportedError,
    numbers,
    reshape,
)
from quantdet.quant.tensors import Tensor


def convolution(op: keras.Operation, x: Tensor, kernel: Tensor) -> Tensor:
    """Return ``ops.conv``."""
    weights = _spatial_kernel(numbers(kernel))
    layer = keras.layers.Conv2D(
        weights.shape[-1],
        weights.shape[:2],
        use_bias=False,
        groups=int(x.shape[-1]) // weights.shape[-2],
        **_options(op, x),
    )
    return _on_picture(layer, x, weights)


def depthwise(op: keras.Operation, x: Tensor, kernel: Tensor) -> Tensor:
    """Return ``ops.depthwise_conv``."""
    weights = _spatial_kernel(numbers(kernel))
    options = _options(op, x)
    if len(x.shape) == 3:
        # Depthwise kernels have one stride; in a picture of height 1 any stays within it.
        options["strides"] = options["strides"][1]
    layer = keras.layers.DepthwiseConv2D(
        weights.shape[:2], depth_multiplier=weights.shape[-1], use_bias=False, **options
    )
    return _on_picture(layer, x, weights)


def separable(
    op: keras.Operation, x: Tensor, depthwise_kernel: Tensor, pointwise_kernel: Tensor
) -> Tensor:
    """Return ``ops.separable_conv``."""
    weights = _spatial_kernel(numbers(pointwise_kernel))
    pointwise = keras.layers.Conv2D(weights.shape[-1], 1, use_bias=False)
    return _on_picture(pointwise, depthwise(op, x, depthwise_kernel), weights)


def transposed_convolution(op: keras.Operation, x: Tensor, kernel: Tensor) -> Tensor:
    """Return ``ops.conv_transpose``."""
    weights = _spatial_kernel(numbers(kernel))
    padding = op.output_padding
    layer = keras.layers.Conv2DTranspose(
        weights.shape[-2],
        weights.shape[:2],
        use_bias=False,
        output_padding=None if padding is None else _pair(padding, x, 0),
        **_options(op, x),
    )
    return _on_picture(layer, x, weights)


def pooling(make: type) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function of ``ops.max_pool`` or ``average_pool``."""

    def pool(op: keras.Operation, x: Tensor) -> Tensor:
        _check_last(op)
        strides = op.strides if op.strides is not None else op.pool_size
        layer = make(_pair(op.pool_size, x, 1), _pair(strides, x, 1), padding=op.padding)
        return _on_picture(layer, x)

    return pool


def adaptive(make: type) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function of ``ops.adaptive_max_pool`` or ``adaptive_average_pool``."""

    def pool(op: keras.Operation, x: Tensor) -> Tensor:
        _check_last(op)
        sizes, wanted = x.shape[1:-1], _pair(op.output_size, x, 1)[-len(x.shape) + 2 :]
        if None in sizes or any(size % want for size, want in zip(sizes, wanted, strict=True)):
            raise UnsupportedError(
                f"makes {wanted} of {sizes}; only whole multiples are supported, use a pooling of "
                "a fixed size"
            )
        window = [size // want for size, want in zip(sizes, wanted, strict=True)]
        return _on_picture(make(_pair(window, x, 1)), x)

    return pool


def resize(op: keras.Operation, x: Tensor) -> Tensor:
    """Return ``ops.image.resize``."""
    _check_last(op)
    for option in ("antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio"):
        if getattr(op, option):
            raise UnsupportedError(f"has {option}=True, which no integer kernel supports")
    return keras.layers.Resizing(*op.size, interpolation=op.interpolation)(x)


def batch_norm(
    op: keras.Operation, x: Tensor, mean: Tensor, variance: Tensor, *rest: object, **named: object
) -> Tensor:
    """Return ``ops.batch_normalization`` with given statistics."""
    offset, scale = (*rest, None, None)[:2]
    offset, scale = named.get("offset", offset), named.get("scale", scale)
    axis = op.axis % len(x.shape)
    if axis != len(x.shape) - 1:
        raise UnsupportedError(f"normalises axis {op.axis}; only the last one is supported")
    factor = 1.0 / np.sqrt(numbers(variance) + op.epsilon)
    factor = factor if scale is None else factor * numbers(scale)
    shift = -numbers(mean) * factor
    shift = shift if offset is None else shift + numbers(offset)
    layer = keras.layers.Rescaling(factor.reshape(-1).tolist(), shift.reshape(-1).tolist())
    return layer(x)


def _options(op: keras.Operation, x: Tensor) -> dict[str, Tensor]:
    _check_last(op)
    padding = op.padding
    if padding not in ("valid", "same"):
        raise UnsupportedError(f"has padding {padding!r}; supported are valid and same")
    return {
        "strides": _pair(op.strides, x, 1),
        "dilation_rate": _pair(op.dilation_rate, x, 1),
        "padding": padding,
    }


def _pair(value: Tensor, x: Tensor, ahead: int) -> tuple[int, int]:
    """Return an option for height and width; a sequence (3 axes) has height 1."""
    rank = len(x.shape) - 2
    if rank not in (1, 2):
        raise UnsupportedError(f"works on {rank} dimensions; LiteRT has integer kernels for 2")
    values = [value] * rank if isinstance(value, int) else [int(v) for v in value]
    values = values * rank if len(values) == 1 else values
    first, second = (ahead, *values) if rank == 1 else values
    return first, second


def _spatial_kernel(kernel: Floats) -> Floats:
    return kernel[None] if kernel.ndim == 3 else kernel


def _on_picture(layer: keras.Layer, x: Tensor, *weights: Floats) -> Tensor:
    """Call a layer on a picture, or on a sequence made one of height 1."""
    picture = x if len(x.shape) == 4 else reshape(x, (1, *x.shape[1:]))
    result = layer(picture)
    if weights:
        layer.set_weights([values.astype(np.float32) for values in weights])
    return result if len(x.shape) == 4 else reshape(result, result.shape[2:])


def _check_last(op: keras.Operation) -> None:
    if op.data_format not in (None, "channels_last"):
        raise UnsupportedError("is channels_first; LiteRT is channels_last")


SPATIAL: dict[str, Callable[..., Tensor]] = {
    "nn.Conv": convolution,
    "nn.DepthwiseConv": depthwise,
    "nn.SeparableConv": separable,
    "nn.ConvTranspose": transposed_convolution,
    "nn.MaxPool": pooling(keras.layers.MaxPooling2D),
    "nn.AveragePool": pooling(keras.layers.AveragePooling2D),
    "nn.AdaptiveMaxPool": adaptive(keras.layers.MaxPooling2D),
    "nn.AdaptiveAveragePool": adaptive(keras.layers.AveragePooling2D),
    "nn.BatchNorm": batch_norm,
    "image.Resize": resize,
}
