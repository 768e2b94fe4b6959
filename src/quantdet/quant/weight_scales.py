"""The scale of a kernel at the start: the largest weight, or what rounds best.

With 127 steps on a side the largest weight is a good measure. With 7, cutting a few large weights
off makes all others finer: the scale with the smallest squared error is searched (Nagel et al.
2021, arXiv:2106.08295, section 3.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from keras import ops
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

_SHRINK = np.linspace(1.0, 0.3, 36)
_SMALLEST = 1e-9


def best_scale(layer: keras.Layer) -> NDArray[np.float32]:
    """Return the scales to start with, in the shape of ``layer.scale``.

    Args:
        layer: a ``QuantizedWeights`` layer whose kernel is set.
    """
    kernel = ops.convert_to_numpy(layer.kernel).astype(np.float64)
    axes = layer.reduced_axes if layer.per_channel else None
    limit = np.maximum(np.abs(kernel).max(axis=axes) / layer.levels, _SMALLEST)
    if layer.bits >= 8:
        largest: NDArray[np.float32] = limit.astype(np.float32)
        return largest
    candidates = [limit * factor for factor in _SHRINK]
    errors = [_squared_error(kernel, scale, layer.levels, axes) for scale in candidates]
    best = np.argmin(errors, axis=0)
    picked = np.take_along_axis(np.stack(candidates), best[None], axis=0)[0]
    chosen: NDArray[np.float32] = picked.astype(np.float32)
    return chosen


def _squared_error(
    kernel: NDArray[np.float64],
    scale: NDArray[np.float64],
    levels: int,
    axes: tuple[int, ...] | None,
) -> NDArray[np.float64]:
    on_grid = np.clip(np.rint(kernel / scale), -levels, levels) * scale
    error: NDArray[np.float64] = np.square(on_grid - kernel).sum(axis=axes)
    return error
