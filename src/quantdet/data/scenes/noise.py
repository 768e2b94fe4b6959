"""Smooth noise and colour, the raw material of textures. Arrays are float32, colours 0–1."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
Color = tuple[float, float, float]


def smooth_noise(
    rng: np.random.Generator, size_hw: tuple[int, int], cell: tuple[float, float]
) -> Array:
    """Return noise of shape ``size_hw`` in about [-1, 1] whose blobs are ``cell`` = (h, w) px."""
    height, width = size_hw
    rows = max(2, round(height / max(cell[0], 1.0)) + 1)
    columns = max(2, round(width / max(cell[1], 1.0)) + 1)
    coarse = rng.uniform(-1.0, 1.0, (rows, columns)).astype(np.float32)
    return enlarge(coarse, size_hw)


def fractal_noise(
    rng: np.random.Generator,
    size_hw: tuple[int, int],
    cell: tuple[float, float],
    octaves: int = 4,
) -> Array:
    """Return a sum of noises, each of half the blob size and 0.55 times the strength."""
    total = np.zeros(size_hw, dtype=np.float32)
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        scaled = (cell[0] / 2**octave, cell[1] / 2**octave)
        total += weight * smooth_noise(rng, size_hw, scaled)
        weights += weight
        weight *= 0.55
    return total / np.float32(weights)


def enlarge(values: Array, size_hw: tuple[int, int]) -> Array:
    """Return a 2-D array resampled to ``size_hw`` without visible steps."""
    image = Image.fromarray(values.astype(np.float32))
    wide = image.resize((size_hw[1], size_hw[0]), Image.Resampling.BICUBIC)
    return np.asarray(wide, dtype=np.float32)


def blur(values: Array, radius_px: float) -> Array:
    """Return a 2-D array blurred by about ``radius_px``, by way of a small copy."""
    height, width = values.shape
    step = max(1.0, radius_px)
    small = (max(1, round(width / step)), max(1, round(height / step)))
    image = Image.fromarray(values).resize(small, Image.Resampling.BOX)
    return enlarge(np.asarray(image, dtype=np.float32), (height, width))


def blend(base: Array, color: Color | Array, amount: Array | float) -> Array:
    """Return ``base`` (H, W, 3) moved towards ``color`` by ``amount`` (H, W) in [0, 1]."""
    share = np.asarray(amount, dtype=np.float32)
    if share.ndim == 2:
        share = share[..., None]
    mixed = base + (np.asarray(color, dtype=np.float32) - base) * share
    return mixed.astype(np.float32)


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Return an RGB colour; the hue wraps around, the others are clipped."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def shade(color: Color, factor: float) -> Color:
    """Return a lighter (> 1) or darker (< 1) colour."""
    red, green, blue = (min(max(channel * factor, 0.0), 1.0) for channel in color)
    return red, green, blue


def paint_color(rng: np.random.Generator) -> Color:
    """Return a colour that a thing may be painted with: bright, pale, dark, white or grey."""
    kind = rng.random()
    if kind < 0.2:
        return hsv(rng.random(), rng.uniform(0.0, 0.12), rng.uniform(0.25, 0.95))
    return hsv(rng.random(), rng.uniform(0.35, 0.9), rng.uniform(0.4, 0.95))
