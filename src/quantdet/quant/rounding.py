"""Round each weight so that the layer's output, not the weight, stays where it was.

The error of a layer with inputs x and rounded weights is quadratic in the change of its weights:

    E[((W - W') x)^2] = (W - W') H (W - W')^T,   H = E[x x^T]

Rounding every weight to nearest minimises it only where H is diagonal (AdaRound: Nagel et al.
2020, arXiv:2004.10568). Here weights are rounded one input after the other, and what is left of
the error is made up for by the inputs that are not rounded yet (optimal brain quantization in a
fixed order, OPTQ: Frantar et al. 2023, arXiv:2210.17323). No training, no labels, seconds a net.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.quant.layers import QuantConv2D, QuantDense, QuantDepthwiseConv2D, QuantizedWeights
from quantdet.quant.tensors import Tensor

if TYPE_CHECKING:
    import keras

Floats = NDArray[np.float64]
RoundKernel = Callable[[QuantizedWeights, Sequence[Tensor]], None]
"""(layer, slices of its inputs) → sets ``layer.kernel`` to values on its grid, or leaves it."""

# Rows that H is estimated from; more change nothing that rounding would notice.
_ROWS_PER_PICTURE = 200
# Share of the mean diagonal added to H: inputs that hardly vary must not blow up its inverse.
_DAMPING = 0.01


def keep(layer: QuantizedWeights, slices: Sequence[Tensor]) -> None:
    """Leave the kernel: the layer rounds every weight to nearest by itself."""


def second_order(layer: QuantizedWeights, slices: Sequence[Tensor]) -> None:
    """Round the kernel of a layer with a stored scale in place.

    Args:
        layer: Conv2D, DepthwiseConv2D or Dense; others are left to rounding to nearest.
        slices: real values that the layer gets in the quantized net, each (N, …, C).
    """
    if isinstance(layer, QuantDepthwiseConv2D):
        rows = np.concatenate([_rows(layer, inputs) for inputs in slices])
        height, width, channels, multiplier = layer.kernel.shape
        grouped = rows.reshape(len(rows), height * width, channels).transpose(2, 0, 1)
        kernel = _numpy(layer.kernel).reshape(height * width, channels, multiplier)
        rounded = _round(kernel.transpose(1, 0, 2), grouped, _per_output(layer), layer.levels)
        layer.kernel.assign(rounded.transpose(1, 0, 2).reshape(layer.kernel.shape))
    elif isinstance(layer, QuantConv2D | QuantDense):
        rows = np.concatenate([_rows(layer, inputs) for inputs in slices])
        flat = rows.reshape(1, -1, rows.shape[-1])
        kernel = _numpy(layer.kernel).reshape(1, rows.shape[-1], -1)
        rounded = _round(kernel, flat, _per_output(layer), layer.levels)
        layer.kernel.assign(rounded.reshape(layer.kernel.shape))


ROUNDINGS: dict[str, RoundKernel] = {"nearest": keep, "second_order": second_order}
"""Name → how weights are rounded to their grid."""


def _numpy(values: Tensor) -> Floats:
    array: Floats = np.asarray(ops.convert_to_numpy(values), np.float64)
    return array


def _per_output(layer: QuantizedWeights) -> Floats:
    """Return the scales, broadcasting against (groups, outputs)."""
    scale = _numpy(layer.weight_scale())
    return scale if scale.ndim == 2 else scale.reshape(1, -1)


def _rows(layer: keras.Layer, inputs: Tensor) -> Floats:
    return _numpy(inputs) if isinstance(layer, QuantDense) else patches(layer, inputs)


def patches(layer: keras.Layer, inputs: Tensor) -> Floats:
    """Return a sample of what the kernel is multiplied with: (rows, kernel height * width * C)."""
    pixels = ops.convert_to_numpy(inputs)
    if layer.padding == "same":
        pixels = np.pad(pixels, [(0, 0), *_margins(layer, pixels.shape[1:3]), (0, 0)])
    reach = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    (down, right), (dy, dx) = layer.strides, layer.dilation_rate
    windows = np.lib.stride_tricks.sliding_window_view(pixels, reach, axis=(1, 2))
    windows = windows[:, ::down, ::right, :, ::dy, ::dx]
    count, height, width = windows.shape[:3]
    chosen = _positions(count, height * width)
    sample = windows[np.arange(count)[:, None], chosen // width, chosen % width]
    sample = sample.transpose(0, 1, 3, 4, 2)
    return np.asarray(sample.reshape(-1, math.prod(sample.shape[2:])), np.float64)


def _positions(pictures: int, positions: int) -> NDArray[np.int64]:
    """Return positions for each picture, (pictures, rows), every one with the same probability.

    One is drawn from each of equal stretches; all are taken where there are few. A fixed step
    instead falls in step with the width of some pictures, and sees a few columns only.
    """
    rows = min(_ROWS_PER_PICTURE, positions)
    within = np.random.default_rng(0).random((pictures, rows))
    return ((np.arange(rows) + within) * (positions / rows)).astype(np.int64)


def _margins(layer: keras.Layer, size: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the zeros before and behind on both axes that padding "same" adds."""
    margins = []
    for length, k, s, d in zip(
        size, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True
    ):
        missing = max((-(-length // s) - 1) * s + (k - 1) * d + 1 - length, 0)
        margins.append((missing // 2, missing - missing // 2))
    return margins


def _round(kernel: Floats, rows: Floats, scale: Floats, levels: int) -> Floats:
    """Return the kernel on its grid.

    Args:
        kernel: (groups, inputs, outputs); groups share nothing (1, or channels of a depthwise).
        rows: (groups, samples, inputs).
        scale: broadcasts against (groups, outputs).
        levels: largest integer.
    """
    spread = _compensation(np.matmul(rows.transpose(0, 2, 1), rows) / rows.shape[1])
    left, rounded = kernel.copy(), np.empty_like(kernel)
    for i in range(kernel.shape[1]):
        rounded[:, i] = np.clip(np.rint(left[:, i] / scale), -levels, levels) * scale
        error = (left[:, i] - rounded[:, i]) / spread[:, i, i, None]
        left[:, i + 1 :] -= spread[:, i, i + 1 :, None] * error[:, None]
    return rounded


def _compensation(hessian: Floats) -> Floats:
    """Return the upper Cholesky factor of the damped inverse, (groups, inputs, inputs)."""
    size = hessian.shape[-1]
    diagonal = np.einsum("gii->gi", hessian)
    damping = _DAMPING * diagonal.mean(axis=1) + 1e-12
    damped: Floats = hessian + damping[:, None, None] * np.eye(size)
    inverse = np.linalg.inv(damped)
    lower: Floats = np.asarray(
        np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2), np.float64
    )
    return lower.transpose(0, 2, 1)
