"""How far long work is: functions that do it report, the command line draws (cli/bars.py)."""

from __future__ import annotations

from collections.abc import Callable

Tick = Callable[[int, int], None]
"""Called with (steps done, all steps); 0 steps in all: nobody knows."""
Progress = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, all steps)."""


def no_tick(done: int, total: int) -> None:
    """Tell nobody."""


def silent(phase: str, done: int, total: int) -> None:
    """Tell nobody."""
