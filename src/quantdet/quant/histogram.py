"""Count every value of a tensor in constant memory, whatever their order.

Bins are those of the float format itself: its sign, exponent and first bits of the mantissa. They
are narrow next to 0 and 0.1 to 0.2 % of the value anywhere else, so a single huge value (which
makes the bins of an even histogram as wide as everything else) costs no resolution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MANTISSA_BITS = 9
# Below 2^-32 of the largest magnitude everything is one bin: no grid of 16 bits tells it from 0.
_OCTAVES = 32
_PER_OCTAVE = 1 << _MANTISSA_BITS
# Bins on each side of 0, that around 0 included.
_SIDE = 1 + _OCTAVES * _PER_OCTAVE
# Of IEEE 754 binary32.
_FLOAT_MANTISSA_BITS = 23
_EXPONENT_BIAS = 127
_MAGNITUDE = np.int32(0x7FFFFFFF)
# Temporary arrays of one chunk stay in the processor's cache.
_CHUNK = 1 << 17


class Histogram:
    """Counts of all values; exactly the same for any order and any split into batches.

    A value's bin depends on the value and on the octave of the largest magnitude alone, and bins
    that leave the range below are added to the one around 0.
    """

    def __init__(self) -> None:
        # The lowest octave with full precision is the lowest that is counted.
        self._top = 1 + _OCTAVES
        self._counts = np.zeros(2 * _SIDE, np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count finite values of any shape."""
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            self._add_chunk(flat[start : start + _CHUNK].view(np.int32))

    def _add_chunk(self, bits: NDArray[np.int32]) -> None:
        bins = bits & _MAGNITUDE
        self._raise_top((int(bins.max()) >> _FLOAT_MANTISSA_BITS) + 1)
        bins >>= _FLOAT_MANTISSA_BITS - _MANTISSA_BITS
        bins -= (self._top - _OCTAVES) * _PER_OCTAVE - 1
        np.maximum(bins, 0, out=bins)
        # Negative values: -1 - bin, counted from the middle.
        bins ^= bits >> 31
        bins += _SIDE
        self._counts += np.bincount(bins, minlength=len(self._counts))

    def _raise_top(self, top: int) -> None:
        """Make ``top``, a biased exponent, the first that is too large for the bins."""
        if top <= self._top:
            return
        gone = min((top - self._top) * _PER_OCTAVE, _SIDE - 1)
        self._top = top
        for side in (self._counts[:_SIDE][::-1], self._counts[_SIDE:]):
            around_zero = side[: gone + 1].sum()
            side[1 : _SIDE - gone] = side[gone + 1 :].copy()
            side[_SIDE - gone :] = 0
            side[0] = around_zero

    def bins(self, smallest: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return (edges, counts): bin i holds the values from edge i to edge i + 1, ascending.

        0 is an edge. Empty bins at both ends are left out.

        Args:
            smallest: magnitudes below need not be told apart; they share a bin on each side of 0.
        """
        octaves = 2.0 ** (np.arange(self._top - _OCTAVES, self._top) - float(_EXPONENT_BIAS))
        steps = 1 + np.arange(_PER_OCTAVE) / _PER_OCTAVE
        above = np.append(np.outer(octaves, steps), 2 * octaves[-1])
        shared = min(int(np.searchsorted(above, smallest, side="right")), len(above) - 1)
        above, below, positive = above[shared:], self._counts[:_SIDE], self._counts[_SIDE:]
        edges = np.concatenate([-above[::-1], [0.0], above])
        counts = np.concatenate([_merged(below[::-1], shared)[::-1], _merged(positive, shared)])
        used = np.append(np.flatnonzero(counts), [len(above) - 1, len(above)])
        first, end = used.min(), used.max() + 1
        return edges[first : end + 1], counts[first:end]


def _merged(counts: NDArray[np.int64], more: int) -> NDArray[np.int64]:
    """Return the counts with ``more`` of them added to the first."""
    return np.append(counts[: more + 1].sum(), counts[more + 1 :])
