"""The command that says before any training what fits a device."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from quantdet.cli.output import Json, show
from quantdet.kinds import KINDS


def plan(  # noqa: PLR0913, PLR0917 - options of the command line
    board: Annotated[
        str | None, typer.Option("--board", help="Take its memory; see docs/plan.md.")
    ] = None,
    ram: Annotated[
        str | None, typer.Option("--ram", help="Memory for TFLite-Micro's arena, e.g. 512K.")
    ] = None,
    flash: Annotated[
        str | None, typer.Option("--flash", help="Memory for the model file, e.g. 1M.")
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option("--fps", min=0.001, help="Pictures a second on this machine (XNNPACK)."),
    ] = None,
    classes: Annotated[int, typer.Option("--classes", min=1, help="Classes to find.")] = 3,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help=f"Out of {', '.join(KINDS)}; may be repeated."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder for figures; default: the user's cache.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say before any training which nets fit a device: each is built, exported and measured.

    Example: quantdet plan --ram 512K --flash 1M --classes 3
    """
    from quantdet.cli.bars import bar
    from quantdet.cli.plan_text import plan_text
    from quantdet.plan.boards import find_limits
    from quantdet.plan.costs import CostTable
    from quantdet.plan.search import plan as search

    limits = find_limits(board, ram, flash, fps)
    table = CostTable(classes, cache)
    with bar() as progress:
        found = search(limits, kinds or KINDS, table.cost, progress.named("plan"))
    show(asdict(found), as_json, plan_text(found))
