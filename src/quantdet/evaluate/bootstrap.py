"""How far a mean AP would move with another draw of as many pictures (Efron 1979).

Pictures are drawn with replacement; matching, which is done picture by picture, stays as it is.
Intervals are percentiles of the figures so drawn. Every model that is measured on the same pictures
gets the same draws: the differences of two models, draw by draw, are the paired bootstrap, which
leaves out what is hard or easy for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from quantdet.evaluate.mean_ap import ApFunction, ClassMatches, Counts, Floats, mean_over_classes

RESAMPLES = 1000
SEED = 0
CONFIDENCE = 0.95
# Draws at once: bounds the memory at this number times the detections of a class.
_CHUNK = 100


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval.

    Attributes:
        value: on the pictures as they are.
        low: 2.5th percentile of the draws.
        high: 97.5th percentile.
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return JSON-ready values."""
        return asdict(self)


def describe_bootstrap() -> dict[str, Any]:
    """Return how the intervals are made, JSON-ready."""
    return {
        "method": "percentiles of pictures drawn with replacement, the same draws for all models",
        "resamples": RESAMPLES,
        "seed": SEED,
        "confidence": CONFIDENCE,
    }


def picture_draws(pictures: int, resamples: int = RESAMPLES, seed: int = SEED) -> Counts:
    """Return how often each picture is drawn, shape (resamples, pictures); rows sum to pictures."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(pictures, np.full(pictures, 1 / pictures), size=resamples)


def bootstrap_map(
    matches: Sequence[ClassMatches],
    average_precision: ApFunction,
    draws: Counts,
    progress: Callable[[int, int], None] | None = None,
) -> Floats:
    """Return the mean AP of every draw, shape (draws,).

    Classes of which a draw has no object are left out of its mean; NaN where it has none at all.

    Args:
        matches: of each class.
        average_precision: e.g. ``voc07_ap``.
        draws: of :func:`picture_draws`.
        progress: called with (draws done, all draws).
    """
    found = []
    for start in range(0, len(draws), _CHUNK):
        chunk = draws[start : start + _CHUNK]
        found.append(mean_over_classes(np.stack([average_precision(m, chunk) for m in matches])))
        if progress is not None:
            progress(start + len(chunk), len(draws))
    return np.concatenate(found)


def interval(value: float, sampled: Floats) -> Interval:
    """Return ``value`` with the middle 95 % of what was drawn."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(sampled, [tail, 100 - tail])
    return Interval(float(value), float(low), float(high))


def paired_difference(after: tuple[float, Floats], before: tuple[float, Floats]) -> Interval:
    """Return the interval of ``after - before`` on the same draws.

    Args:
        after: (value, figures of the draws) of one model.
        before: of the other, on the same pictures and draws.
    """
    return interval(after[0] - before[0], after[1] - before[1])
