"""Observers look at a tensor during calibration and propose its range.

None keeps the values themselves, so that calibrating a 50-layer net on hundreds of pictures stays
within seconds and megabytes. Which one is best depends on the net; see docs/log.md.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# Values kept per batch and tensor. 4096 samples place a 99.9 % quantile to about 0.05 %.
_SAMPLES_PER_BATCH = 4096


class Observer(Protocol):
    """Sees batches of a tensor, then names a range that contains 0."""

    def update(self, values: NDArray[np.float32]) -> None:
        """Look at one batch."""

    def range(self) -> tuple[float, float]:
        """Return (minimum, maximum)."""


class MinMax:
    """The extremes ever seen."""

    def __init__(self) -> None:
        self._low = 0.0
        self._high = 0.0

    def update(self, values: NDArray[np.float32]) -> None:
        """Widen the range to hold ``values``."""
        self._low = min(self._low, float(values.min()))
        self._high = max(self._high, float(values.max()))

    def range(self) -> tuple[float, float]:
        """Return the extremes, 0 included."""
        return self._low, self._high


class MovingAverage:
    """Average of the batch extremes: ``r <- momentum * r + (1 - momentum) * new``.

    The first batch sets the range, so nothing of a start value remains.
    """

    def __init__(self, momentum: float = 0.9) -> None:
        self._momentum = momentum
        self._extremes: NDArray[np.float64] | None = None

    def update(self, values: NDArray[np.float32]) -> None:
        """Move towards the extremes of ``values``."""
        new = np.array([min(0.0, values.min()), max(0.0, values.max())], dtype=np.float64)
        old = new if self._extremes is None else self._extremes
        self._extremes = self._momentum * old + (1 - self._momentum) * new

    def range(self) -> tuple[float, float]:
        """Return the averaged extremes."""
        if self._extremes is None:
            return 0.0, 0.0
        return float(self._extremes[0]), float(self._extremes[1])


class Percentile:
    """Cuts the rarest values off on both sides, by order statistics of an even sample."""

    def __init__(self, percent: float = 99.99) -> None:
        self._percent = percent
        self._samples: list[NDArray[np.float32]] = []

    def update(self, values: NDArray[np.float32]) -> None:
        """Keep a strided sample."""
        flat = values.reshape(-1)
        # An odd stride does not fall in step with the channel count.
        stride = max(1, flat.size // _SAMPLES_PER_BATCH) | 1
        self._samples.append(np.array(flat[::stride], dtype=np.float32))

    def range(self) -> tuple[float, float]:
        """Return the two-sided quantiles, 0 included."""
        values = np.concatenate(self._samples)
        low, high = np.percentile(values, [100 - self._percent, self._percent])
        return min(0.0, float(low)), max(0.0, float(high))


class MeanSquaredError:
    """The range with the smallest squared quantization error over all values.

    A grid search over shrunken extremes, first the upper, then the lower end, on a histogram
    (Nagel et al. 2021, arXiv:2106.08295, section 3.1, "MSE"). Few large values decide squared
    errors, so none may be left out of the histogram.
    """

    def __init__(self) -> None:
        self._extremes = MinMax()
        self._counts = np.zeros(_BINS)
        self._reach = 2.0**-10

    def update(self, values: NDArray[np.float32]) -> None:
        """Count every value."""
        self._extremes.update(values)
        largest = float(np.abs(values).max(initial=0.0))
        while self._reach < largest:
            self._double_reach()
        bins = ((values.reshape(-1) / self._reach + 1) * (_BINS / 2)).astype(np.int32)
        self._counts += np.bincount(np.minimum(bins, _BINS - 1), minlength=_BINS)

    def range(self) -> tuple[float, float]:
        """Return the best range found, 0 included."""
        low, high = self._extremes.range()
        if high > 0:
            high = min((high * factor for factor in _SHRINK), key=lambda h: self._error(low, h))
        if low < 0:
            low = min((low * factor for factor in _SHRINK), key=lambda v: self._error(v, high))
        return low, high

    def _double_reach(self) -> None:
        pairs = self._counts.reshape(-1, 2).sum(axis=1)
        quarter = np.zeros(_BINS // 4)
        self._counts = np.concatenate([quarter, pairs, quarter])
        self._reach *= 2

    def _error(self, low: float, high: float) -> float:
        """Return the summed squared error of quantizing to [low, high]."""
        scale = (high - low) / 255
        centres = ((np.arange(_BINS) + 0.5) * (2 / _BINS) - 1) * self._reach
        on_grid = np.rint(np.clip(centres, low, high) / scale) * scale
        return float(np.dot(self._counts, np.square(on_grid - centres)))


class Entropy:
    """The symmetric cut that keeps most information on the distribution of |x|.

    Smallest Kullback-Leibler divergence of the histogram from its quantized self (Migacz 2017,
    "8-bit inference with TensorRT", GTC).
    """

    def __init__(self) -> None:
        self._extremes = MinMax()
        self._counts = np.zeros(_BINS)
        self._reach = 2.0**-10

    def update(self, values: NDArray[np.float32]) -> None:
        """Count the magnitude of every value."""
        self._extremes.update(values)
        magnitudes = np.abs(values).reshape(-1)
        while self._reach < magnitudes.max(initial=0.0):
            pairs = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.concatenate([pairs, np.zeros(_BINS // 2)])
            self._reach *= 2
        bins = (magnitudes * (_BINS / self._reach)).astype(np.int32)
        # ReLU makes many zeros; they are exact on every grid and say nothing about the cut.
        bins = np.minimum(bins[magnitudes > 0], _BINS - 1)
        self._counts += np.bincount(bins, minlength=_BINS)

    def range(self) -> tuple[float, float]:
        """Return the extremes, cut at the best magnitude, 0 included."""
        low, high = self._extremes.range()
        levels = 255 if low == 0.0 or high == 0.0 else 128
        used = int(np.flatnonzero(self._counts)[-1]) + 1 if self._counts.any() else 0
        if used <= levels:
            return low, high
        ends = range(levels, used + 1, max(1, (used - levels) // 128))
        best = min(ends, key=lambda end: _divergence(self._counts[:used], end, levels))
        cut = best * self._reach / _BINS
        return max(low, -cut), min(high, cut)


def _divergence(counts: NDArray[np.float64], end: int, levels: int) -> float:
    """Return KL(cut histogram, the same merged to ``levels`` bins and spread out again)."""
    cut = counts[:end].copy()
    cut[-1] += counts[end:].sum()
    # Values beyond the cut are in the last bin of the original, but no quantized level has them.
    merged = np.arange(end) * levels // end
    filled = counts[:end] > 0
    sums = np.bincount(merged, weights=counts[:end], minlength=levels)
    members = np.bincount(merged, weights=filled, minlength=levels)
    spread = np.where(filled, (sums / np.maximum(members, 1))[merged], 0.0)
    if not spread.any():
        return math.inf
    p, q = cut / cut.sum(), spread / spread.sum()
    both = (p > 0) & (q > 0)
    missing = p[(p > 0) & (q == 0)].sum()
    return float((p[both] * np.log(p[both] / q[both])).sum() + missing * 10)


_SHRINK = np.linspace(1.0, 0.1, 46)
_BINS = 1 << 13


OBSERVERS: dict[str, Any] = {
    "minmax": MinMax,
    "moving_average": MovingAverage,
    "percentile": Percentile,
    "mse": MeanSquaredError,
    "entropy": Entropy,
}
