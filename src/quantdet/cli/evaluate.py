"""The command that measures accuracy: of a run, or of one .tflite, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantdet.cli.output import Json, show
from quantdet.errors import ConfigError

if TYPE_CHECKING:
    from quantdet.progress import Progress
    from quantdet.results.metrics import AnyMetrics


def evaluate(  # noqa: PLR0913, PLR0917 - options of the command line
    model: Annotated[
        str, typer.Argument(help="Run folder; or a .tflite with its contract, with --data.")
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Data set for a .tflite; for a run, its new location."),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Split of --data, for a .tflite.")
    ] = None,
    data_format: Annotated[
        str | None, typer.Option("--format", help="Format of --data, for a .tflite.")
    ] = None,
    parity_pictures: Annotated[
        int, typer.Option("--parity-pictures", min=0, help="For a run; 0 skips parity.")
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
    source = {"root": data, "test_split": split, "format": data_format}
    given = {key: value for key, value in source.items() if value is not None}
    with bar() as progress:
        metrics = (
            _run(path, given, parity_pictures, progress)
            if path.is_dir()
            else _file(path, given, progress)
        )
    show(metrics, as_json, metrics_table(metrics))


def _run(
    path: Path, data: Mapping[str, Path | str], parity_pictures: int, progress: Progress
) -> AnyMetrics:
    from quantdet.runs import Run
    from quantdet.stages.evaluate import run_evaluate
    from quantdet.stages.settings import changed_run

    run = Run.open(path)
    if data.keys() - {"root"}:
        raise ConfigError(
            f"{path}: is a run, which is measured on its own test split (config.toml); leave "
            f"--split and --format out, or give {run.model_file} to measure other data"
        )
    if data:
        splits = (run.load_config().data.test_split,)
        run = changed_run(run, data=data["root"], splits=splits)
    return run_evaluate(run, parity_pictures=parity_pictures, progress=progress)


def _file(path: Path, data: Mapping[str, Path | str], progress: Progress) -> AnyMetrics:
    from quantdet.config import DataConfig
    from quantdet.stages.evaluate import evaluate_model

    if "root" not in data:
        raise ConfigError(
            f"{path}: is a model file; give the data set to measure it on, "
            "e.g. --data VOCdevkit/VOC2007"
        )
    return evaluate_model(path, DataConfig.model_validate(data), progress)
