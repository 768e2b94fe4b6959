"""Intervals of figures from draws of the bootstrap (Efron 1979).

Intervals are the basic bootstrap's, ``[2 v - q_97.5, 2 v - q_2.5]`` for value v and percentiles q
(Davison & Hinkley 1997, section 5.2).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval.

    Attributes:
        value: on the pictures as they are.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return JSON-ready values."""
        return asdict(self)


def interval(
    value: float,
    sampled: NDArray[np.float64],
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Return ``value`` with its 95 % interval; NaN among the draws is passed over.

    Args:
        value: on the pictures as they are.
        sampled: (draws,) the same figure of each draw.
        within: lowest and highest value that can be.
    """
    tail = 100 * (1 - CONFIDENCE) / 2
    least, most = np.nanpercentile(sampled, [tail, 100 - tail])
    low, high = np.clip([2 * value - most, 2 * value - least], *within)
    return Interval(float(value), float(low), float(high))


def paired_difference(
    after: tuple[float, NDArray[np.float64]], before: tuple[float, NDArray[np.float64]]
) -> Interval:
    """Return the interval of ``after - before`` on the same draws.

    Args:
        after: (value, figures of the draws) of one model.
        before: of the other, on the same pictures and draws.
    """
    return interval(after[0] - before[0], after[1] - before[1])
