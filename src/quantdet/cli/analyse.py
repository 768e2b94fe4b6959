"""The command that names the layers which quantization hurts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quantdet.cli.output import Json, show
from quantdet.cli.stages import MovedData


def analyse(  # noqa: PLR0913, PLR0917 - options of the command line
    run_dir: Annotated[Path, typer.Argument(help="Run folder, after `quantdet qat`.")],
    pictures: Annotated[
        int, typer.Option("--pictures", min=1, help="From the validation split.")
    ] = 16,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity/--no-sensitivity",
            help="Quantize one layer at a time and look at the outputs; takes most of the time.",
        ),
    ] = True,
    all_layers: Annotated[bool, typer.Option("--all", help="Show all layers, not 15.")] = False,
    data: MovedData = None,
    as_json: Json = False,
) -> None:
    """Find the layers that quantization hurts, and why; writes analysis.json and analysis.png.

    Example: quantdet analyse runs/voc
    """
    from quantdet.cli.analysis_text import analysis_text
    from quantdet.cli.bars import bar
    from quantdet.runs import Run
    from quantdet.stages.analyse import run_analyse
    from quantdet.stages.settings import changed_run

    run = Run.open(run_dir)
    if data is not None:
        run = changed_run(run, data=data)
    with bar() as progress:
        result = run_analyse(run, pictures=pictures, sensitivity=sensitivity, progress=progress)
    text = f"{analysis_text(result, all_layers)}\n\npicture: {run.analysis_picture}"
    show(result, as_json, text)
