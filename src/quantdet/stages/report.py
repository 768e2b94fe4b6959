"""The stage that writes the report of a run, and the comparison of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantdet.report.compare import write_comparison
from quantdet.report.html import write_report
from quantdet.runs import Run


def run_report(run: Run, out: Path | str | None = None) -> Path:
    """Write the run's HTML report, ``report.html`` in its folder or ``out``; return its path."""
    return write_report(run, None if out is None else Path(out))


def run_comparison(runs: Sequence[Run], out: Path | str | None = None) -> Path:
    """Write one HTML report about several runs and return its path.

    Args:
        runs: two or more of one kind of model; the others are compared with the first.
        out: the file; None: ``comparison.html`` in the folder of the first.

    Raises:
        QuantdetError: a run cannot be read, or the runs cannot be compared.
    """
    return write_comparison(runs, Path(out or runs[0].root / "comparison.html"))
