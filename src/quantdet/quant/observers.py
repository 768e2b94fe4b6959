"""Observers look at a tensor during calibration and propose its range.

None keeps the values themselves, so memory is constant however many pictures there are. None
depends on how the same pictures are cut into batches, or on their order: the ranges are equal to
the last bit, those of ``moving_average`` to 1e-9 of their width (it adds floats).

Which one is best depends on the net; see docs/decisions/009-default-observer.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quantdet.quant.histogram import Histogram


class Observer(Protocol):
    """Sees batches of a tensor, then names a range that contains 0."""

    def update(self, values: NDArray[np.float32]) -> None:
        """Look at one batch, (N, …) for N pictures; all values finite."""

    def range(self) -> tuple[float, float]:
        """Return (minimum, maximum)."""


class MinMax:
    """The extremes ever seen."""

    def __init__(self) -> None:
        self._low = 0.0
        self._high = 0.0

    def update(self, values: NDArray[np.float32]) -> None:
        """Widen the range to hold ``values``."""
        self._low = min(self._low, float(values.min(initial=0.0)))
        self._high = max(self._high, float(values.max(initial=0.0)))

    def range(self) -> tuple[float, float]:
        """Return the extremes, 0 included."""
        return self._low, self._high


class MovingAverage:
    """Average of the extremes of the pictures.

    Every picture counts the same, so neither their order nor the batch size matters. (Its
    namesake in other tools forgets: there the last batches decide, and large batches have wider
    extremes than small ones.)
    """

    def __init__(self) -> None:
        self._pictures = 0
        self._low = 0.0
        self._high = 0.0

    def update(self, values: NDArray[np.float32]) -> None:
        """Add the extremes of each picture."""
        others = tuple(range(1, values.ndim))
        self._pictures += len(values)
        self._low += float(values.min(axis=others, initial=0.0).sum(dtype=np.float64))
        self._high += float(values.max(axis=others, initial=0.0).sum(dtype=np.float64))

    def range(self) -> tuple[float, float]:
        """Return the averaged extremes."""
        pictures = max(self._pictures, 1)
        return self._low / pictures, self._high / pictures


class Percentile:
    """Cuts the rarest values off on both sides.

    The quantiles of all values, interpolated inside the bins of a histogram: right to 0.2 %.
    """

    def __init__(self, percent: float = 99.99) -> None:
        self._share = percent / 100
        self._extremes = MinMax()
        self._histogram = Histogram()

    def update(self, values: NDArray[np.float32]) -> None:
        """Count every value."""
        self._extremes.update(values)
        self._histogram.add(values)

    def range(self) -> tuple[float, float]:
        """Return the two-sided quantiles, 0 included."""
        low, high = self._extremes.range()
        edges, counts = self._histogram.bins()
        below = _quantile(edges, counts, 1 - self._share)
        above = _quantile(edges, counts, self._share)
        return max(low, min(0.0, below)), min(high, max(0.0, above))


def _quantile(edges: NDArray[np.float64], counts: NDArray[np.int64], share: float) -> float:
    """Return what ``share`` of the values lie below; 0 if there are none."""
    total = int(counts.sum())
    if not total:
        return 0.0
    ends = np.cumsum(counts)
    found = int(np.searchsorted(ends, share * total))
    inside = 1 - (ends[found] - share * total) / counts[found]
    return float(edges[found] + inside * (edges[found + 1] - edges[found]))


class MeanSquaredError:
    """The range with the smallest squared quantization error over all values.

    Candidates are shrunken extremes; the upper and the lower end are searched in turns until
    neither moves (Nagel et al. 2021, arXiv:2106.08295, section 3.1, "MSE"). Few large values decide
    squared errors, so none may be left out of the histogram.

    Args:
        levels: steps of the grid.
    """

    def __init__(self, levels: int = 255) -> None:
        self._levels = levels
        self._extremes = MinMax()
        self._histogram = Histogram()

    def update(self, values: NDArray[np.float32]) -> None:
        """Count every value."""
        self._extremes.update(values)
        self._histogram.add(values)

    def range(self) -> tuple[float, float]:
        """Return the best range found, 0 included."""
        lowest, highest = self._extremes.range()
        # What every candidate rounds to 0 decides nothing.
        smallest_step = _ROUGH[-1] * max(-lowest, highest) / self._levels
        edges, counts = self._histogram.bins(smallest_step / 2)
        density = counts / np.diff(edges)

        def error(low: float, high: float) -> float:
            # Not np.dot: its threads cost a hundred times the product where others use the cores.
            return float((density * np.diff(_error_below(edges, low, high, self._levels))).sum())

        def upper(low: float, ends: Iterable[float]) -> float:
            return min((min(end, highest) for end in ends), key=lambda end: error(low, end))

        def lower(high: float, ends: Iterable[float]) -> float:
            return min((max(end, lowest) for end in ends), key=lambda end: error(end, high))

        high = upper(lowest, highest * _ROUGH) if highest else 0.0
        low = lower(high, lowest * _ROUGH) if lowest else 0.0
        for _ in range(_MOST_TURNS):
            before = low, high
            high = upper(low, high * _NEARBY) if highest else 0.0
            low = lower(high, low * _NEARBY) if lowest else 0.0
            if (low, high) == before:
                break
        return float(low), float(high)


def _error_below(
    edges: NDArray[np.float64], low: float, high: float, levels: int
) -> NDArray[np.float64]:
    """Return the integral of (round(x) - x)^2 from 0 to each edge, rounded to the grid of a range.

    With it the error of a bin is exact wherever its values lie evenly, also in bins that are wider
    than a step. The grid has 0 on it, as the quantizer's has.
    """
    step = (high - low) / levels
    start = -np.rint(-low / step) * step
    within = np.clip(edges, start, start + levels * step)
    steps = within / step
    nearest = np.rint(steps)
    rounding = nearest / 12 + _cube(steps - nearest) / 3
    return step**3 * rounding + _cube(edges - within) / 3


def _cube(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``values**3``, without the 50 times slower general power."""
    return values * values * values


class Entropy:
    """The symmetric cut that keeps most information on the distribution of |x|.

    Smallest Kullback-Leibler divergence of the histogram from its quantized self (Migacz 2017,
    "8-bit inference with TensorRT", GTC).
    """

    def __init__(self) -> None:
        self._extremes = MinMax()
        self._histogram = Histogram()

    def update(self, values: NDArray[np.float32]) -> None:
        """Count every value."""
        self._extremes.update(values)
        self._histogram.add(values)

    def range(self) -> tuple[float, float]:
        """Return the extremes, cut at the best magnitude, 0 included."""
        low, high = self._extremes.range()
        levels = 255 if low == 0.0 or high == 0.0 else 128
        edges, counts = self._histogram.bins()
        # ReLU makes many zeros; they are exact on every grid and say nothing about the cut.
        counts = np.where(edges[:-1] * edges[1:] == 0, 0, counts)
        reach = min(max(-low, high), _usual_reach(edges, counts))
        even = _even_bins(edges, counts, reach)
        ends = range(_EVEN_BINS, levels - 1, (levels - _EVEN_BINS) // 128)
        divergences = [_divergence(even, end, levels) for end in ends]
        if not np.isfinite(divergences).any():
            return low, high
        cut = reach * ends[int(np.argmin(divergences))] / _EVEN_BINS
        return max(low, -cut), min(high, cut)


def _usual_reach(edges: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Return a magnitude that only outliers exceed: even bins up to those would tell no others."""
    return _OUTLIER * max(-_quantile(edges, counts, 0.0001), _quantile(edges, counts, 0.9999))


def _even_bins(
    edges: NDArray[np.float64], counts: NDArray[np.int64], reach: float
) -> NDArray[np.float64]:
    """Return how often |x| is in each of even bins up to ``reach``, and how often beyond."""
    ends = np.append(0, np.cumsum(counts))
    even = np.linspace(0.0, reach, _EVEN_BINS + 1)
    inside = np.interp(even, edges, ends) - np.interp(-even, edges, ends)
    return np.append(np.diff(inside), ends[-1] - inside[-1])


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


# From the extremes down to a hundredth of them in steps of 14 %, then of 3 %.
_ROUGH = 0.86 ** np.arange(31.0)
_NEARBY = 0.97 ** np.arange(-4.0, 5.0)
_MOST_TURNS = 4
_EVEN_BINS = 1 << 11
_OUTLIER = 4.0


OBSERVERS: dict[str, Callable[[], Observer]] = {
    "minmax": MinMax,
    "moving_average": MovingAverage,
    "percentile": Percentile,
    "mse": MeanSquaredError,
    "entropy": Entropy,
}
"""Name → observer for 8 bits."""
OBSERVERS_16: dict[str, Callable[[], Observer]] = {
    **OBSERVERS,
    "mse": partial(MeanSquaredError, 65534),
    # A histogram as fine as 16 bits would have nearly every value in a bin of its own.
    "entropy": MinMax,
}
"""The same for 16 bits, whose steps are so fine that cutting pays much later."""
