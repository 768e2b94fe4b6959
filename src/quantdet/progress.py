"""Progress bars on the terminal; the libraries only report (phase, done, total)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bars:
    """One bar per phase, made when the phase first reports."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of ``phase`` are finished; total 0: unknown."""
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=None)
        self._progress.update(self._tasks[phase], completed=done, total=total or None)

    def named(self, phase: str) -> Callable[[int, int], None]:
        """Return a (done, total) callback for one phase."""
        return lambda done, total: self(phase, done, total)


@contextmanager
def bar() -> Iterator[Bars]:
    """Draw bars on standard error, so that standard output stays clean for ``--json``."""
    columns = (
        TextColumn("{task.description:<26}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bars(progress)
