"""Pictures in memory-mapped files: several as one array, and sent to other processes by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.uint8]


class PictureRows(ABC):
    """Pictures that are indexed like one array, uint8 (N, H, W, 3)."""

    dtype = np.dtype(np.uint8)
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Array]:
        return (self._one(number) for number in range(len(self)))

    def __getitem__(self, index: Any) -> Array:
        """Return one picture, or a copy of those of a slice or an array of numbers."""
        if isinstance(index, slice):
            return self._take(np.arange(*index.indices(len(self))))
        if np.ndim(index):
            return self._take(np.arange(len(self))[index])
        return self._one(range(len(self))[index])

    @abstractmethod
    def _one(self, number: int) -> Array:
        """Return a picture by its number, from 0."""

    @abstractmethod
    def _take(self, numbers: NDArray[np.int64]) -> Array:
        """Return a copy of several."""


class Joined(PictureRows):
    """Arrays of pictures, one behind the other along the first axis, none of them copied.

    Args:
        arrays: uint8 (N, H, W, 3) each, of the same H and W; at least one.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.arrays = tuple(arrays)
        self._ends = np.cumsum([len(array) for array in self.arrays])
        self.shape = (int(self._ends[-1]), *self.arrays[0].shape[1:])

    def _one(self, number: int) -> Array:
        which = int(np.searchsorted(self._ends, number, side="right"))
        picture: Array = self.arrays[which][number - int(self._ends[which])]
        return picture

    def _take(self, numbers: NDArray[np.int64]) -> Array:
        taken = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        which = np.searchsorted(self._ends, numbers, side="right")
        for part in np.unique(which):
            chosen = np.flatnonzero(which == part)
            # Counted from the end of its array, which negative numbers are.
            taken[chosen] = self.arrays[part][numbers[chosen] - self._ends[part]]
        return taken


Pictures = Array | PictureRows
"""uint8 (N, H, W, 3) that can be indexed by a number, a slice or an array of numbers."""


def joined(arrays: Sequence[Array]) -> Pictures:
    """Return several arrays of pictures as one."""
    kept = [array for array in arrays if len(array)] or arrays[:1]
    return kept[0] if len(kept) == 1 else Joined(kept)


@dataclass(frozen=True)
class MappedFile:
    """What a memory-mapped array is made of: another process maps the file, too."""

    path: Path
    offset: int
    shape: tuple[int, ...]


Portable = Array | PictureRows | MappedFile | tuple["Portable", ...] | None
"""Pictures as another process gets them."""


def portable(pictures: Pictures | None) -> Portable:
    """Return what :func:`opened` makes the same pictures of; arrays that are no files stay."""
    if isinstance(pictures, Joined):
        return tuple(portable(array) for array in pictures.arrays)
    if isinstance(pictures, PictureRows):
        return pictures
    base: object = None if pictures is None else pictures.base
    # A part of a mapped array has the offset of the whole, and another base.
    if isinstance(pictures, np.memmap) and isinstance(base, mmap) and pictures.filename:
        return MappedFile(Path(pictures.filename), pictures.offset, pictures.shape)
    return pictures


def opened(pictures: Portable) -> Pictures | None:
    """Return the pictures that :func:`portable` was given."""
    if isinstance(pictures, tuple):
        return joined([array for part in pictures if isinstance(array := opened(part), np.ndarray)])
    if isinstance(pictures, MappedFile):
        return np.memmap(pictures.path, np.uint8, "r", pictures.offset, pictures.shape)
    return pictures
