"""Show pictures with rare classes more often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantdet.models.targets import PictureObjects


def repeated_rows(
    objects: Sequence[PictureObjects], num_classes: int, seed: int
) -> NDArray[np.int64]:
    """Return which pictures make up an epoch, some of them several times.

    Repeat-factor sampling (Gupta et al. 2019, arXiv:1908.03195, section 4.2): a class in a share
    f of the pictures has the factor ``max(1, sqrt(t / f))``, a picture the largest factor of its
    classes; t is the median share. Fractions are rounded at random.

    Args:
        objects: of each picture.
        num_classes: without background.
        seed: of the rounding.

    Returns:
        Rows in ascending order, each at least once.
    """
    present = np.zeros((len(objects), num_classes), dtype=bool)
    for row, item in enumerate(objects):
        present[row, item.class_ids[~item.ignored]] = True
    share = present.mean(axis=0)
    seen = share > 0
    if not seen.any():
        return np.arange(len(objects))
    factors = np.ones(num_classes)
    factors[seen] = np.maximum(1.0, np.sqrt(np.median(share[seen]) / share[seen]))
    repeats = np.where(present, factors, 1.0).max(axis=1)
    chance = np.random.default_rng(seed).random(len(objects))
    return np.repeat(np.arange(len(objects)), np.floor(repeats + chance).astype(np.int64))
