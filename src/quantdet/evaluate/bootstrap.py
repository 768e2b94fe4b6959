"""How far a mean AP would move with another draw of as many pictures (Efron 1979).

Pictures are drawn with replacement; matching, which is done picture by picture, stays as it is.
Every model that is measured on the same pictures gets the same draws: the differences of two
models, draw by draw, are the paired bootstrap, which leaves out what is hard or easy for both.

Intervals are the basic bootstrap's, see :mod:`quantdet.results.intervals`. Few objects in a class
make AP too high on average, a draw of them once more; plain percentiles keep that error twice,
these take it off. Measured with 300 samples of 200 out of 5790 made-up pictures: the mean AP of all
lay in 92 % of these intervals and in 89 % of plain ones at 71 % mAP, in 80 % and 21 % at 31 % mAP.
See docs/log.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantdet.evaluate.mean_ap import ApFunction, ClassMatches, Counts, Floats
from quantdet.progress import Tick, no_tick
from quantdet.results.intervals import CONFIDENCE
from quantdet.results.part import Bootstrap

RESAMPLES = 1000
SEED = 0
# Draws at once: bounds the memory at this number times the detections of a class.
_CHUNK = 100


def describe_bootstrap() -> Bootstrap:
    """Return how the intervals are made."""
    return Bootstrap(
        method="basic bootstrap over pictures, the same draws for all models",
        resamples=RESAMPLES,
        seed=SEED,
        confidence=CONFIDENCE,
    )


def picture_draws(pictures: int, resamples: int = RESAMPLES, seed: int = SEED) -> Counts:
    """Return how often each picture is drawn, shape (resamples, pictures); rows sum to pictures."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(pictures, np.full(pictures, 1 / pictures), size=resamples)


def bootstrap_ap(
    matches: Sequence[ClassMatches],
    average_precision: ApFunction,
    draws: Counts,
    progress: Tick = no_tick,
) -> Floats:
    """Return the AP of every class in every draw, shape (classes, draws).

    NaN where a draw has no object of a class.

    Args:
        matches: of each class.
        average_precision: e.g. ``voc07_ap``.
        draws: of :func:`picture_draws`.
        progress: called with (draws done, all draws).
    """
    found = []
    for start in range(0, len(draws), _CHUNK):
        chunk = draws[start : start + _CHUNK]
        found.append(np.stack([average_precision(m, chunk) for m in matches]))
        progress(start + len(chunk), len(draws))
    return np.concatenate(found, axis=1)
