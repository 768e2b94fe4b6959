"""The cells that a YOLO head predicts from: grids of several strides, one after the other."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from quantdet.runtime.raw import Floats

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Input pixels from cell to cell on each level, of usual heads; the second is called "P6"."""


def strides_of(cells: int, input_hw: tuple[int, int]) -> tuple[int, ...] | None:
    """Return the strides of the head that has so many cells; None: no usual one."""
    return next((each for each in STRIDES if len(cell_grid(input_hw, each)) == cells), None)


@lru_cache(maxsize=8)
def cell_grid(input_hw: tuple[int, int], strides: tuple[int, ...]) -> Floats:
    """Return column, row and stride of every cell, float32 (cells, 3), level after level."""
    levels = []
    for stride in strides:
        rows, columns = np.mgrid[0 : input_hw[0] // stride, 0 : input_hw[1] // stride]
        level = np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], axis=1)
        levels.append(level.astype(np.float32))
    grid = np.concatenate(levels)
    grid.setflags(write=False)
    return grid
