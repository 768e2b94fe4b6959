"""What is computed in which order when a stem is cut into patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.patches.border import NO_PADS, Border, Pads, border_of
from quantdet.quant.patches.geometry import (
    Region,
    Span,
    hull,
    macs_per_position,
    size_hw,
)
from quantdet.quant.patches.stem import Stem

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema

Grid = tuple[int, int]
"""Rows and columns of patches."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a map.

    Attributes:
        tensor: the map in the ordinary file, whose channels and quantization it has.
        size_hw: height and width.
        whole: it is that tensor itself.
    """

    tensor: int
    size_hw: tuple[int, int]
    whole: bool = False


@dataclass(frozen=True)
class Step:
    """One operator of the patched file.

    Attributes:
        kind: "slice", "pad", "concatenate", or "operator" for one of the ordinary file.
        inputs: pieces that it reads; the other operands are those of ``operator``.
        output: what it computes.
        operator: of the ordinary file.
        same: ``operator`` pads by itself (SAME); otherwise it does not (VALID).
        begin: of a slice, row and column.
        pads: of a padding.
        axis: of a concatenation.
    """

    kind: str
    inputs: tuple[Piece, ...]
    output: Piece
    operator: schema.OperatorT | None = None
    same: bool = False
    begin: tuple[int, int] = (0, 0)
    pads: Pads = NO_PADS
    axis: int = 0


@dataclass(frozen=True)
class Plan:
    """How a stem is computed in patches.

    Attributes:
        stem: the operators.
        grid: rows and columns of patches.
        steps: what to do instead of the stem's operators.
    """

    stem: Stem
    grid: Grid
    steps: tuple[Step, ...]

    @property
    def macs(self) -> int:
        """Multiplications of the whole patched file for one picture."""
        file = self.stem.file
        own = set(map(id, self.stem.operators))
        rest = sum(operator_macs(file, op) for op in file.operators if id(op) not in own)
        return rest + sum(
            math.prod(step.output.size_hw) * macs_per_position(file, step.operator)
            for step in self.steps
            if step.operator is not None
        )


def plan_patches(stem: Stem, grid: Grid) -> Plan | None:
    """Return how to compute a stem in patches; None where a patch would be of the border only.

    Args:
        stem: the operators.
        grid: rows and columns of patches, at least two of them, and in each direction at most as
            many as the result has positions.
    """
    size = size_hw(stem.file, stem.result)
    rows, columns = map(_cuts, size, grid)
    steps: list[Step] = []
    bands = []
    for row in rows:
        patches = [_Patch(stem, (row, column)) for column in columns]
        if not all(patch.has_content() for patch in patches):
            return None
        pieces = [patch.compute(steps) for patch in patches]
        band = Piece(stem.result, (row.size, size[1]), whole=len(rows) == 1)
        bands.append(_joined(steps, pieces, band, axis=2))
    _joined(steps, bands, Piece(stem.result, size, whole=True), axis=1)
    return Plan(stem, grid, tuple(steps))


def operator_macs(file: EditableFile, op: schema.OperatorT) -> int:
    """Return the multiplications of an operator for one picture."""
    shape = file.tensors[int(op.outputs[0])].shape
    return math.prod(map(int, shape[:-1])) * macs_per_position(file, op)


def _cuts(size: int, count: int) -> list[Span]:
    """Return spans of about equal size that make an axis."""
    ends = [size * part // count for part in range(count + 1)]
    return [Span(start, stop) for start, stop in pairwise(ends)]


def _joined(steps: list[Step], pieces: Sequence[Piece], whole: Piece, axis: int) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    steps.append(Step("concatenate", tuple(pieces), whole, axis=axis))
    return whole


class _Patch:
    """Computes one region of a stem's result."""

    def __init__(self, stem: Stem, region: Region) -> None:
        self._stem = stem
        self._regions: dict[int, Region] = {stem.result: region}
        self._borders: list[Border] = []
        for op, windows in reversed(list(zip(stem.operators, stem.windows, strict=True))):
            (first, *_) = maps = stem.maps(op)
            wanted = self._regions[int(op.outputs[0])]
            border = border_of(windows, wanted, size_hw(stem.file, first))
            self._borders.insert(0, border)
            for tensor in maps:
                known = self._regions.get(tensor, border.given)
                self._regions[tensor] = hull(known, border.given)
        height, width = size_hw(stem.file, stem.source)
        self._pieces = {stem.source: Piece(stem.source, (height, width), whole=True)}
        self._held = self._regions | {stem.source: (Span(0, height), Span(0, width))}
        self._steps: list[Step] = []

    def has_content(self) -> bool:
        """Tell whether every operator sees a part of its input."""
        return all(span.size > 0 for border in self._borders for span in border.given)

    def compute(self, steps: list[Step]) -> Piece:
        """Append the steps; return the piece of the result."""
        source = self._stem.source
        self._pieces[source] = self._part(source, self._regions[source])
        self._held[source] = self._regions[source]
        for op, border in zip(self._stem.operators, self._borders, strict=True):
            self._compute(op, border)
        steps += self._steps
        return self._pieces[self._stem.result]

    def _compute(self, op: schema.OperatorT, border: Border) -> None:
        output = int(op.outputs[0])
        parts = [self._part(tensor, border.given) for tensor in self._stem.maps(op)]
        if self._stem.file.name(op) == "PAD":
            self._pieces[output] = self._padded(parts[0], output, border.pads)
            return
        parts[0] = self._padded(parts[0], parts[0].tensor, border.pads)
        answer = Piece(output, border.answer)
        self._steps.append(Step("operator", tuple(parts), answer, operator=op, same=border.same))
        self._pieces[output] = self._cut(answer, border.begin, self._regions[output])

    def _part(self, tensor: int, region: Region) -> Piece:
        """Return a region of a map, out of what there is of it."""
        held = self._held[tensor]
        begin = (region[0].start - held[0].start, region[1].start - held[1].start)
        return self._cut(self._pieces[tensor], begin, region)

    def _cut(self, piece: Piece, begin: tuple[int, int], region: Region) -> Piece:
        size = (region[0].size, region[1].size)
        if piece.size_hw == size:
            return piece
        part = Piece(piece.tensor, size)
        self._steps.append(Step("slice", (piece,), part, begin=begin))
        return part

    def _padded(self, piece: Piece, tensor: int, pads: Pads) -> Piece:
        if pads == NO_PADS:
            return piece
        height, width = (size + sum(more) for size, more in zip(piece.size_hw, pads, strict=True))
        padded = Piece(tensor, (height, width))
        self._steps.append(Step("pad", (piece,), padded, pads=pads))
        return padded
