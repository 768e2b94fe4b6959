"""Affine quantization in numpy: ``real = (q - zero_point) * scale``.

8 bit integers here are unsigned, q in [0, 255], as in the uint8 files; the int8 form used inside
LiteRT is the same grid with q and zero_point lowered by 128. 16 bit integers are symmetric, as
LiteRT's int16 kernels demand: q in [-32767, 32767], zero_point 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LIMITS = {8: (0, 255), 16: (-32767, 32767)}


@dataclass(frozen=True)
class QuantParams:
    """Scale and zero point of one tensor; 8 bit (uint8 view) or 16 bit (int16)."""

    scale: float
    zero_point: int
    bits: int = 8

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer."""
        return _LIMITS[self.bits]

    @property
    def minimum(self) -> float:
        """Smallest real value on the grid."""
        return float(np.float32(self.limits[0] - self.zero_point) * np.float32(self.scale))

    @property
    def maximum(self) -> float:
        """Largest real value on the grid."""
        return float(np.float32(self.limits[1] - self.zero_point) * np.float32(self.scale))


def params_from_range(minimum: float, maximum: float, bits: int = 8) -> QuantParams:
    """Return the parameters for a range, moved so that real 0 is exactly on the grid.

    8 bit: ``scale = (max - min) / 255``, ``zero_point = round(-min / scale)`` (Jacob et al. 2018,
    arXiv:1712.05877, section 3; the same arithmetic as TensorFlow's fake quantization).
    16 bit: ``scale = max(-min, max) / 32767``, ``zero_point = 0``.

    Raises:
        ValueError: ``maximum <= minimum`` or 0 outside of the range.
    """
    low, high = np.float32(minimum), np.float32(maximum)
    if not low < high or low > 0 or high < 0:
        raise ValueError(f"range [{minimum}, {maximum}] must be non-empty and contain 0")
    smallest, largest = _LIMITS[bits]
    if smallest < 0:
        return QuantParams(float(max(-low, high) / np.float32(largest)), 0, bits)
    scale = (high - low) / np.float32(largest)
    zero_point = int(np.clip(np.floor(-low / scale + np.float32(0.5)), 0, largest))
    return QuantParams(float(scale), zero_point, bits)


def quantize(real: NDArray[np.number], params: QuantParams) -> NDArray[np.number]:
    """Return ``clip(round(real / scale) + zero_point)``, uint8 or int16; halves are rounded up."""
    steps = np.floor(np.asarray(real, np.float32) / np.float32(params.scale) + np.float32(0.5))
    dtype = np.uint8 if params.bits == 8 else np.int16
    q: NDArray[np.number] = np.clip(steps + params.zero_point, *params.limits).astype(dtype)
    return q


def dequantize(q: NDArray[np.number], params: QuantParams) -> NDArray[np.float32]:
    """Return ``(q - zero_point) * scale``."""
    steps = q.astype(np.int32) - params.zero_point
    return (steps.astype(np.float32) * np.float32(params.scale)).astype(np.float32)
