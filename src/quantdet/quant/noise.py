"""Sizes of signals and of what quantization adds to them."""

from __future__ import annotations

import math

import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.quant.tensors import Tensor

LIMIT_DB = 200.0
"""Stands for "no noise at all"; its negative for "nothing but noise". Float32 ends near 150 dB."""


def decibels(signal: float, noise: float) -> float:
    """Return the signal-to-quantization-noise ratio 10 log10(signal / noise) in dB.

    Args:
        signal: energy, i.e. sum of squares.
        noise: energy of the difference.

    Returns:
        Within ±``LIMIT_DB``; 6 dB more is one bit more.
    """
    smallest = 10 ** (-LIMIT_DB / 10)
    if noise <= signal * smallest:
        return LIMIT_DB
    if signal <= noise * smallest:
        return -LIMIT_DB
    return 10 * math.log10(signal / noise)


def sqnr_db(exact: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Return the signal-to-quantization-noise ratio of ``found`` in dB, see :func:`decibels`.

    Args:
        exact: what was to be found.
        found: of the same shape.
    """
    return decibels(energy(exact), energy(found - exact))


def ratio(sqnr_db: float) -> float:
    """Return noise / signal of energies for a figure in dB."""
    return float(10 ** (-sqnr_db / 10))


def energy(values: NDArray[np.float32]) -> float:
    """Return the sum of squares."""
    return product(values, values)


def product(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the sum of ``a * b``; both of one shape."""
    return float(np.multiply(a, b).sum(dtype=np.float64))


def numbers(tensor: Tensor) -> NDArray[np.float32]:
    """Return a backend tensor as float32 array."""
    return np.asarray(ops.convert_to_numpy(tensor), dtype=np.float32)
