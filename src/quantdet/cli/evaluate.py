"""The command that measures accuracy: of a run, or of one .tflite, whoever made it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantdet.cli.output import Json, show
from quantdet.errors import ConfigError

if TYPE_CHECKING:
    from quantdet.results.metrics import AnyMetrics


def evaluate(  # noqa: PLR0913, PLR0917 - options of the command line
    model: Annotated[
        str, typer.Argument(help="Run folder; or a .tflite with its contract, with --data.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Data set for a .tflite; a run knows its own.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Split of --data.")] = "test",
    data_format: Annotated[str, typer.Option("--format", help="Format of --data.")] = "auto",
    parity_pictures: Annotated[
        int, typer.Option("--parity-pictures", min=0, help="Of a run; 0 leaves parity out.")
    ] = 16,
    as_json: Json = False,
) -> None:
    """Measure accuracy: of everything in a run, with parity and latency, or of one .tflite.

    Example: quantdet evaluate runs/voc
    Example: quantdet evaluate peer.tflite --data VOCdevkit/VOC2007 --split test
    """
    from quantdet.cli.bars import bar
    from quantdet.cli.metrics_text import metrics_table
    from quantdet.runtime.pretrained import find_model

    path = find_model(model)
    if path.is_dir() and data is not None:
        raise ConfigError(
            f"{path}: is a run, which is measured on its own data (config.toml); leave --data "
            f"out, or give {path / 'export' / 'model.tflite'}"
        )
    with bar() as progress:
        metrics = (
            _run(path, parity_pictures, progress)
            if path.is_dir()
            else _file(path, {"root": data, "test_split": split, "format": data_format}, progress)
        )
    show(metrics, as_json, metrics_table(metrics))


def _run(path: Path, parity_pictures: int, progress: Any) -> AnyMetrics:
    from quantdet import pipeline
    from quantdet.runs import Run

    run = Run.open(path)
    return pipeline.run_evaluate(run, parity_pictures=parity_pictures, progress=progress)


def _file(path: Path, data: dict[str, Any], progress: Any) -> AnyMetrics:
    from quantdet import pipeline
    from quantdet.config import DataConfig

    if data["root"] is None:
        raise ConfigError(
            f"{path}: is a model file; say with --data on which data set it is to be measured, "
            "e.g. --data VOCdevkit/VOC2007"
        )
    return pipeline.evaluate_model(path, DataConfig(**data), progress)
