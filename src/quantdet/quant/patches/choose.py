"""Where to cut: candidates with their costs, and the file of one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from quantdet.errors import ExportError
from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.patches.geometry import size_hw
from quantdet.quant.patches.memory import least_arena
from quantdet.quant.patches.plan import Grid, operator_macs, plan_patches
from quantdet.quant.patches.rewrite import patched
from quantdet.quant.patches.stem import find_stems

MOST = 10
"""Most patches in a row or column: TFLite-Micro concatenates that many tensors."""
_SEARCHED = 6
# A stem that costs so much more has patches that mostly compute what their neighbours do.
_MOST_MACS = 1.6
# Arenas that differ by less are taken as equal: the smaller cost decides.
_SAME_ARENA = 1.05


@dataclass(frozen=True)
class Candidate:
    """One way to compute the first operators of a file in patches.

    Attributes:
        operators: how many of them.
        grid: rows and columns of patches.
        macs: multiplications of the whole net for one picture.
        least_arena: bytes that TFLite-Micro's arena has at least.
    """

    operators: int
    grid: Grid
    macs: int
    least_arena: int


def searched_grids() -> list[Grid]:
    """Return the grids that a search tries: about as many rows as columns, up to 6."""
    counts = range(1, _SEARCHED + 1)
    return [
        grid for grid in product(counts, counts) if grid != (1, 1) and abs(grid[0] - grid[1]) < 2
    ]


def candidates(content: bytes, grids: Iterable[Grid]) -> list[Candidate]:
    """Return the ways to cut a file into one of some grids, those of fewer multiplications first.

    Raises:
        ExportError: the file does not begin with convolutions of an 8 bit picture.
    """
    file = EditableFile(content)
    stems = find_stems(file)
    if not stems:
        raise ExportError(
            "the file does not begin with 8 bit convolutions that can be computed in patches; "
            "export it without --patches and --arena"
        )
    most = _MOST_MACS * file_macs(file)
    found = []
    for grid in grids:
        for stem in stems:
            height, width = size_hw(file, stem.result)
            plan = None if grid[0] > height or grid[1] > width else plan_patches(stem, grid)
            if plan is None or plan.macs > most:
                break
            found.append(Candidate(len(stem.operators), grid, plan.macs, least_arena(file, plan)))
    return sorted(found, key=lambda candidate: candidate.macs)


def file_macs(file: EditableFile) -> int:
    """Return the multiplications of convolutions and dense layers for one picture."""
    return sum(operator_macs(file, op) for op in file.operators)


def smallest(found: Iterable[Candidate]) -> Candidate:
    """Return the candidate of the smallest arena, of those about equal the one of least cost."""
    found = list(found)
    least = min(candidate.least_arena for candidate in found)
    equal = [item for item in found if item.least_arena <= _SAME_ARENA * least]
    return min(equal, key=lambda candidate: candidate.macs)


def in_patches(content: bytes, candidate: Candidate) -> bytes:
    """Return the .tflite that computes its first operators in patches.

    Every tensor behind them has the same integers as in the ordinary file.
    """
    file = EditableFile(content)
    (stem,) = (stem for stem in find_stems(file) if len(stem.operators) == candidate.operators)
    plan = plan_patches(stem, candidate.grid)
    assert plan is not None  # it was planned before
    return patched(plan)
