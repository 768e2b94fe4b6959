"""Progress bars on the terminal; the libraries only report (phase, done, total)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from quantdet.system.log import shown_log

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bars:
    """One bar per phase, made when the phase first reports.

    A phase that is over with its first report gets none: `quantdet predict` of one picture would
    spend a sixth of its time on loading Rich.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of ``phase`` are finished; total 0: unknown."""
        if phase not in self._tasks and 0 < total <= done:
            return
        if self._progress is None:
            self._progress = self._stack.enter_context(_progress())
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=None)
        self._progress.update(self._tasks[phase], completed=done, total=total or None)

    def line(self, text: str) -> None:
        """Write a line, above the bars where there are some."""
        if self._progress is None:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        else:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def named(self, phase: str) -> Callable[[int, int], None]:
        """Return a (done, total) callback for one phase."""
        return lambda done, total: self(phase, done, total)


@contextmanager
def bar() -> Iterator[Bars]:
    """Draw bars on standard error, so that standard output stays clean for ``--json``.

    What is logged is written there line by line, also where no terminal shows bars.
    """
    with ExitStack() as stack:
        bars = Bars(stack)
        stack.enter_context(shown_log(bars.line))
        yield bars


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description:<26}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
