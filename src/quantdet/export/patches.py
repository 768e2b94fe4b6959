"""A detector whose first operators are computed patch by patch: a smaller arena, same integers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quantdet.errors import ConfigError, ExportError
from quantdet.export.metadata import final_contract, with_metadata
from quantdet.export.source import ModelSource
from quantdet.progress import Tick, no_tick
from quantdet.quant.litert.micro import ArenaTrials, smallest_arena
from quantdet.quant.patches.choose import (
    MOST,
    Candidate,
    candidates,
    in_patches,
    searched_grids,
    smallest,
)
from quantdet.system.byte_sizes import parse_bytes


@dataclass(frozen=True)
class Patches:
    """``--patches``: rows and columns of patches."""

    rows: int
    columns: int

    @classmethod
    def parse(cls, text: str) -> Patches:
        """Read "3x3".

        Raises:
            ConfigError: it is something else.
        """
        found = re.fullmatch(r"(\d+)[xX×](\d+)", text.strip())
        rows, columns = map(int, found.groups()) if found else (0, 0)
        if not (1 <= rows <= MOST and 1 <= columns <= MOST and rows * columns > 1):
            raise ConfigError(
                f"patches {text!r} is not ROWSxCOLUMNS with 1 to {MOST} of each, at least two "
                "patches; for instance 3x3"
            )
        return cls(rows, columns)

    def choose(self, content: bytes, progress: Tick = no_tick) -> Candidate:
        """Return where to cut so that the least memory is taken at once."""
        del progress  # it takes no time
        found = candidates(content, [(self.rows, self.columns)])
        if not found:
            raise ExportError(
                f"patches {self.rows}x{self.columns}: too many for the size of the model's "
                "input; take fewer"
            )
        return smallest(found)


@dataclass(frozen=True)
class Arena:
    """``--arena``: the memory that there is."""

    size: int

    @classmethod
    def parse(cls, text: str) -> Arena:
        """Read bytes: "524288", "512K" or "1M" (of 1024).

        Raises:
            ConfigError: it is something else.
        """
        return cls(parse_bytes("arena", text))

    def choose(self, content: bytes, progress: Tick = no_tick) -> Candidate:
        """Return the least costly way whose arena fits, found by allocating one after another.

        Raises:
            ExportError: it fits as it is, or nothing tried fits.
            DependencyError: package ``tflite-micro`` is not installed.
        """
        if _fits(content, self.size):
            raise ExportError(
                f"the file fits into an arena of {self.size // 1024} KiB as it is; export it "
                "without --arena"
            )
        found = candidates(content, searched_grids())
        hopeful = [candidate for candidate in found if candidate.least_arena < self.size]
        for done, candidate in enumerate(hopeful):
            progress(done, len(hopeful))
            if _fits(in_patches(content, candidate), self.size):
                progress(len(hopeful), len(hopeful))
                return candidate
        best = smallest(found)
        least = smallest_arena(in_patches(content, best))
        raise ExportError(
            f"no patches were found that fit into an arena of {self.size // 1024} KiB; "
            f"{best.grid[0]}x{best.grid[1]} take {least // 1024} KiB; take a smaller input or width"
        )


Wish = Patches | Arena


def parse_wish(patches: str | None, arena: str | None) -> Wish | None:
    """Read ``--patches`` and ``--arena``.

    Raises:
        ConfigError: both are given, or one is not what it should be.
    """
    if patches is not None and arena is not None:
        raise ConfigError("--patches and --arena: give one, the other follows from it")
    if patches is not None:
        return Patches.parse(patches)
    return None if arena is None else Arena.parse(arena)


def patch_source(source: ModelSource, candidate: Candidate) -> dict[str, bytes]:
    """Return NAME-patches.tflite with its contract."""
    content = with_metadata(in_patches(source.content, candidate), source.contract)
    name = f"{source.name}-patches"
    final = final_contract(source.contract, content)
    return {
        f"{name}.tflite": content,
        f"{name}.contract.json": (final.model_dump_json(indent=2) + "\n").encode(),
    }


def _fits(content: bytes, arena_bytes: int) -> bool:
    with ArenaTrials(content) as trials:
        return trials.fits(arena_bytes)
