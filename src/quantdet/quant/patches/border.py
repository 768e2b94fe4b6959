"""How an operator computes a region of its output that may lie at the border of the picture."""

from __future__ import annotations

from dataclasses import dataclass

from quantdet.quant.patches.geometry import Region, Span, Window, Windows, same_padding

Pads = tuple[tuple[int, int], tuple[int, int]]
"""Rows of padding above and below, columns left and right."""
NO_PADS: Pads = ((0, 0), (0, 0))


@dataclass(frozen=True)
class Border:
    """What an operator is given, and what of its answer is the wanted region.

    Attributes:
        given: region of the input.
        pads: zero points to put around it first.
        same: the operator pads by itself (SAME); otherwise it does not (VALID).
        answer: height and width of what it computes.
        begin: row and column of the wanted region in that.
    """

    given: Region
    pads: Pads
    same: bool
    answer: tuple[int, int]
    begin: tuple[int, int]


def border_of(windows: Windows, wanted: Region, size_hw: tuple[int, int]) -> Border:
    """Return how to compute a region.

    In the middle of the picture the operator does not pad. At its border it pads by itself where
    that gives the same zero points. Where it strides, also where it then pads at other sides too
    and computes more than is wanted: to cut off the smaller output takes less memory than to pad
    the larger input. Otherwise the input is padded.

    Args:
        windows: what the operator looks at.
        wanted: region of its output.
        size_hw: of its whole input.
    """
    rows, columns = (
        _axis(window, span, size)
        for window, span, size in zip(windows, wanted, size_hw, strict=True)
    )
    answer = (wanted[0].size, wanted[1].size)
    pads = (rows.pads, columns.pads)
    if pads != NO_PADS:
        same = _same(windows, (rows, columns))
        if same is not None and (same.answer == answer or max(w.stride for w in windows) > 1):
            return same
    return Border((rows.given, columns.given), pads, False, answer, (0, 0))


@dataclass(frozen=True)
class _Axis:
    """One axis: what of the input is needed, with which padding, for how many positions."""

    given: Span
    pads: tuple[int, int]
    count: int
    more: bool  # whether the input goes on behind ``given``


def _axis(window: Window, wanted: Span, size: int) -> _Axis:
    needed = window.needs(wanted)
    given = needed.within(size)
    pads = (given.start - needed.start, needed.stop - given.stop)
    return _Axis(given, pads, wanted.size, given.stop < size)


def _same(windows: Windows, axes: tuple[_Axis, _Axis]) -> Border | None:
    rows, columns = map(_same_axis, windows, axes)
    if rows is None or columns is None:
        return None
    (rows_given, height, top), (columns_given, width, left) = rows, columns
    return Border((rows_given, columns_given), NO_PADS, True, (height, width), (top, left))


def _same_axis(window: Window, axis: _Axis) -> tuple[Span, int, int] | None:
    """Return what to give to an operator with padding SAME, how many positions it computes of that,
    and the first that is wanted; None where its windows fall elsewhere.
    """
    for more in (0, 1) if axis.more else (0,):
        given = Span(axis.given.start, axis.given.stop + more)
        shift = same_padding(window, given.size)[0] - axis.pads[0]
        begin, count = shift // window.stride, -(-given.size // window.stride)
        if shift >= 0 and shift % window.stride == 0 and begin + axis.count <= count:
            return given, count, begin
    return None
