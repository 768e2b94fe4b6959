"""Observers look at a tensor during calibration and propose its range.

Each keeps exact minimum and maximum and a bounded random-free sample of the values, so that
calibrating a 50-layer net on hundreds of pictures stays within seconds and megabytes.
"""

from __future__ import annotations

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


class _Sampled:
    """Keeps evenly spaced order statistics of every batch."""

    def __init__(self) -> None:
        self._extremes = MinMax()
        self._samples: list[NDArray[np.float32]] = []

    def update(self, values: NDArray[np.float32]) -> None:
        """Keep the extremes and a strided sample."""
        self._extremes.update(values)
        flat = values.reshape(-1)
        # An odd stride does not fall in step with the channel count.
        stride = max(1, flat.size // _SAMPLES_PER_BATCH) | 1
        self._samples.append(np.array(flat[::stride], dtype=np.float32))

    def _all(self) -> NDArray[np.float32]:
        return np.concatenate(self._samples) if self._samples else np.zeros(1, np.float32)


class Percentile(_Sampled):
    """Cuts the rarest values off on both sides."""

    def __init__(self, percent: float = 99.99) -> None:
        super().__init__()
        self._percent = percent

    def range(self) -> tuple[float, float]:
        """Return the two-sided quantiles, 0 included."""
        values = self._all()
        low, high = np.percentile(values, [100 - self._percent, self._percent])
        return min(0.0, float(low)), max(0.0, float(high))


class MeanSquaredError(_Sampled):
    """The range with the smallest squared quantization error on the sample.

    A grid search over shrunken extremes, first the upper, then the lower end, as in
    Nagel et al. 2021 (arXiv:2106.08295, section 3.1, "MSE").
    """

    def range(self) -> tuple[float, float]:
        """Return the best range found, 0 included."""
        low, high = self._extremes.range()
        if high - low <= 0:
            return low, high
        values = self._all()
        high = _best([(low, high * factor) for factor in _SHRINK], values)[1] if high > 0 else high
        low = _best([(low * factor, high) for factor in _SHRINK], values)[0] if low < 0 else low
        return low, high


_SHRINK = np.linspace(1.0, 0.3, 36)
_MAX_SEARCH_VALUES = 1 << 17


def _best(
    candidates: list[tuple[float, float]], values: NDArray[np.float32]
) -> tuple[float, float]:
    sample = values[:: max(1, values.size // _MAX_SEARCH_VALUES)]
    errors = [_squared_error(sample, low, high) for low, high in candidates]
    return candidates[int(np.argmin(errors))]


def _squared_error(values: NDArray[np.float32], low: float, high: float) -> float:
    scale = (high - low) / 255 or 1.0
    on_grid = np.rint(np.clip(values, low, high) / scale) * scale
    return float(np.mean(np.square(on_grid - values, dtype=np.float64)))


OBSERVERS: dict[str, Any] = {
    "minmax": MinMax,
    "moving_average": MovingAverage,
    "percentile": Percentile,
    "mse": MeanSquaredError,
}
