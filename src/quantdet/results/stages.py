"""The stages of a run: what each one needs, and the command that makes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from quantdet.manifest import StageRecord


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        command: with the run's own configuration: ``{run}`` and ``{config}`` are their paths.
        needs: stages whose results it reads.
        result: what people call what it finds, of stages that measure.
        optional: whether a run is complete without it.
    """

    command: str
    needs: tuple[str, ...] = ()
    result: str = ""
    optional: bool = False


STAGES = {
    "train": Stage("quantdet train --config {config} --out {run}"),
    "qat": Stage("quantdet qat {run}", ("train",)),
    "export": Stage(
        "quantdet export {run} --format uint8 --format float32 --format int8-ptq",
        ("train", "qat"),
    ),
    "evaluate": Stage("quantdet evaluate {run}", ("train", "qat", "export"), "evaluation"),
    "analyse": Stage("quantdet analyse {run}", ("train", "qat"), "analysis", optional=True),
    "verify": Stage(
        "quantdet verify {run}", ("train", "qat", "export"), "verification", optional=True
    ),
    "report": Stage("quantdet report {run}", optional=True),
}
"""Name in ``manifest.json`` → stage, in the order of a run."""


def unfinished(records: Mapping[str, StageRecord]) -> Iterator[str]:
    """Yield the stages that every run needs and ``manifest.json`` does not have."""
    for name, stage in STAGES.items():
        if not stage.optional and name not in records:
            yield name


def outdated(records: Mapping[str, StageRecord]) -> Iterator[tuple[str, list[str]]]:
    """Yield what was measured, and the stages that ran again since."""
    for name, stage in STAGES.items():
        if stage.result and name in records:
            # ISO times in UTC: the order of the text is the order in time.
            later = [
                need
                for need in stage.needs
                if need in records and records[need].written > records[name].written
            ]
            if later:
                yield name, later
