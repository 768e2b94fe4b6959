"""Commands that give a model away and get one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quantdet.cli.output import Json, show


def push(  # noqa: PLR0913, PLR0917 - options of the command line
    model: Annotated[
        str,
        typer.Argument(help="Run folder, .tflite with its contract, or a name of the package."),
    ],
    target: Annotated[str, typer.Argument(help="hf://USER/NAME, or a folder.")],
    private: Annotated[
        bool, typer.Option("--private", help="A new repository is private.")
    ] = False,
    license_id: Annotated[
        str, typer.Option("--license", help="For the model card, e.g. apache-2.0.")
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another model of that name in a folder.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Share a model: its .tflite, its contract, and a model card with the figures of the run.

    Log in to the Hugging Face hub once with `hf auth login`. A card that is there already stays.

    Example: quantdet push runs/voc hf://me/voc-detector --license apache-2.0
    """
    from quantdet.share.exchange import push as send

    where = send(model, target, private=private, license_id=license_id, overwrite=overwrite)
    show({"model": model, "target": target, "where": where}, as_json, f"shared: {where}")


def pull(
    source: Annotated[
        str,
        typer.Argument(help="hf://USER/NAME, http address of a .tflite, run folder, or .tflite."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; default: the name of the model.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of the same names.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Get a model that somebody shared, and check that it is whole.

    `quantdet predict --model hf://USER/NAME` and the other commands need no copy.

    Example: quantdet pull hf://me/voc-detector --out detector
    """
    from quantdet.cli.bars import bar
    from quantdet.share.exchange import pull as get

    with bar() as progress:
        file = get(source, out, overwrite=overwrite, progress=progress.named("fetch"))
    show({"source": source, "file": str(file)}, as_json, f"here: {file}")
