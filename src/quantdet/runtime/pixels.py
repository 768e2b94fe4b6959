"""The one pixel convention of our models: ``real = (pixel - 128) / 127.5``.

Scale 1/127.5 and zero point 128 make the raw uint8 pixels the quantized input.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIXEL_OFFSET = 128.0
PIXEL_SCALE = 127.5
PIXEL_RANGE = ((0 - PIXEL_OFFSET) / PIXEL_SCALE, (255 - PIXEL_OFFSET) / PIXEL_SCALE)
"""Real values of pixels 0 and 255."""


def to_real(pixels: NDArray[np.number]) -> NDArray[np.float32]:
    """Return model inputs, float32, for pixels of 0 to 255 in any shape."""
    return (pixels.astype(np.float32) - np.float32(PIXEL_OFFSET)) / np.float32(PIXEL_SCALE)
