"""The command that takes one file through every target."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quantdet.cli.output import Json, show
from quantdet.errors import ConfigError

_FAILED = 3


def verify(  # noqa: PLR0913, PLR0917 - options of the command line
    model: Annotated[
        str, typer.Argument(help="Run folder; or a .tflite with its contract, with --data.")
    ],
    targets: Annotated[
        list[str] | None,
        typer.Option("--target", help="Only this one; may be repeated. See docs/verify.md."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Data set or folder of pictures; a run knows its own."),
    ] = None,
    pictures: Annotated[int, typer.Option("--pictures", min=1, help="How many.")] = 50,
    out: Annotated[
        Path | None, typer.Option("--out", help="JSON file; default for a run: its verify.json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run one file on every target and compare the answers; exit code 3 if a target failed.

    Example: quantdet verify runs/voc
    Example: quantdet verify model.tflite --data VOCdevkit/VOC2007 --target tflite-micro
    """
    from quantdet.cli.bars import bar
    from quantdet.cli.verify_text import verify_table
    from quantdet.runs import Run
    from quantdet.runtime.pretrained import find_model
    from quantdet.stages.verify import run_verify, verify_model

    path = find_model(model)
    with bar() as progress:
        if path.is_dir():
            run = Run.open(path)
            result = run_verify(run, targets or (), pictures, data, progress)
            out = out or run.verify_file
        elif data is None:
            raise ConfigError(
                f"{path}: is a model file; give the pictures to verify it on, "
                "e.g. --data VOCdevkit/VOC2007"
            )
        else:
            result = verify_model(path, data, targets or (), pictures, progress)
    if out is not None:
        result.save(out)
    show(result, as_json, verify_table(result))
    if not result.ok:
        raise typer.Exit(_FAILED)
