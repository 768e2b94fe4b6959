"""Affine quantization in numpy: ``real = (q - zero_point) * scale``.

Integers here are unsigned 8 bit, q in [0, 255], as in the uint8 files; the int8 form used
inside LiteRT is the same grid with q and zero_point lowered by 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 255


@dataclass(frozen=True)
class QuantParams:
    """Scale and zero point of one tensor (uint8 view)."""

    scale: float
    zero_point: int

    @property
    def minimum(self) -> float:
        """Smallest real value on the grid."""
        return float(np.float32(-self.zero_point) * np.float32(self.scale))

    @property
    def maximum(self) -> float:
        """Largest real value on the grid."""
        return float(np.float32(LEVELS - self.zero_point) * np.float32(self.scale))


def params_from_range(minimum: float, maximum: float) -> QuantParams:
    """Return the parameters for a range, moved so that real 0 is exactly on the grid.

    ``scale = (max - min) / 255``, ``zero_point = round(-min / scale)`` (Jacob et al. 2018,
    arXiv:1712.05877, section 3; the same arithmetic as TensorFlow's fake quantization).

    Raises:
        ValueError: ``maximum <= minimum`` or 0 outside of the range.
    """
    low, high = np.float32(minimum), np.float32(maximum)
    if not low < high or low > 0 or high < 0:
        raise ValueError(f"range [{minimum}, {maximum}] must be non-empty and contain 0")
    scale = (high - low) / np.float32(LEVELS)
    zero_point = int(np.clip(np.floor(-low / scale + np.float32(0.5)), 0, LEVELS))
    return QuantParams(float(scale), zero_point)


def quantize(real: NDArray[Any], params: QuantParams) -> NDArray[np.uint8]:
    """Return ``clip(round(real / scale) + zero_point, 0, 255)``; halves are rounded up."""
    steps = np.floor(np.asarray(real, np.float32) / np.float32(params.scale) + np.float32(0.5))
    q: NDArray[np.uint8] = np.clip(steps + params.zero_point, 0, LEVELS).astype(np.uint8)
    return q


def dequantize(q: NDArray[Any], params: QuantParams) -> NDArray[np.float32]:
    """Return ``(q - zero_point) * scale``."""
    steps = q.astype(np.int32) - params.zero_point
    return (steps.astype(np.float32) * np.float32(params.scale)).astype(np.float32)
