"""Commands that run models: all that the core install on a device can do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from quantdet.cli.output import Json, show

_FOLDER = "predictions"
_BROKEN_OFF = 2  # what the user can fix: a video is not whole


def doctor(as_json: Json = False) -> None:
    """Show versions, backend and devices, and what is missing with its install line.

    Example: quantdet doctor
    """
    from quantdet.cli.doctor import examine, render

    result = examine()
    show(result, as_json, render(result))


def predict(  # noqa: PLR0913, PLR0917 - options of the command line
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, folders, globs, a video, camera:0, or a stream (rtsp://, http://). The "
            "first may be a run folder or .tflite instead of --model."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Name of a model that comes with quantdet (see `quantdet models`), run folder, or "
            ".tflite with its contract; without it voc-ssd300.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for pictures and JSON; default: predictions."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", min=0, max=1, help="Confidence threshold; default: the model's."
        ),
    ] = None,
    class_thresholds: Annotated[
        list[str] | None,
        typer.Option("--class-threshold", help="LABEL=SCORE, for one class; may be repeated."),
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Show only this class; may be repeated.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Default: number of cores, at most 4.")
    ] = None,
    agnostic_nms: Annotated[
        bool,
        typer.Option("--agnostic-nms", help="Suppress across classes: one box for an object."),
    ] = False,
    max_frames: Annotated[
        int | None,
        typer.Option("--max-frames", min=1, help="Most frames of a video, camera or stream."),
    ] = None,
    every: Annotated[
        int, typer.Option("--every", min=1, help="Look at each so many-th frame only.")
    ] = 1,
    newest: Annotated[
        bool,
        typer.Option(
            "--newest",
            help="Of a camera or stream only the newest frame, so that nothing is late; of several "
            "always, in turn.",
        ),
    ] = False,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="json (the default), jsonl (as it comes), csv, coco, yolo, voc; may be repeated; "
            "none keeps nothing.",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Also write predictions.csv.")] = False,
    draw: Annotated[
        bool, typer.Option("--draw/--no-draw", help="Write pictures and videos with boxes.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Find objects and draw them; needs only the core install.

    Without json among the formats, records are printed as they come and not kept.

    Example: quantdet predict street.jpg --out found --class car --threshold 0.4
    Example: quantdet predict rtsp://camera/stream --newest --no-draw --format jsonl
    """
    from quantdet.cli.bars import bar
    from quantdet.cli.predictions_text import Printer
    from quantdet.runtime.detector import Detector
    from quantdet.runtime.predict import predict_to_folder
    from quantdet.runtime.pretrained import DEFAULT_MODEL, find_model, is_model
    from quantdet.runtime.sources import skipped_files
    from quantdet.runtime.thresholds import parse_class_thresholds

    if model is None and is_model(inputs[0]):
        file: Path | str = inputs[0]
        inputs = inputs[1:]
    else:
        file = find_model(model or DEFAULT_MODEL)
    detector = Detector(
        file,
        threshold=threshold,
        class_thresholds=parse_class_thresholds(class_thresholds or ()),
        classes=classes,
        num_threads=threads,
        agnostic_nms=agnostic_nms,
    )
    kept = _kept(out, formats, draw=draw, as_csv=as_csv)
    printer = Printer(as_json=as_json, at_once="json" not in kept.formats)
    with bar() as progress:
        results = predict_to_folder(
            detector,
            inputs,
            kept.folder,
            save_images=kept.draw,
            formats=kept.formats,
            max_frames=max_frames,
            every=every,
            newest=newest,
            on_prediction=printer.add,
            progress=progress.named("predict"),
        )
    printer.end(results, skipped_files(inputs))
    if any(result.error is not None and result.frame is not None for result in results):
        raise typer.Exit(_BROKEN_OFF)


class _Kept(NamedTuple):
    """What is written of what was found."""

    folder: Path
    formats: Sequence[str]
    draw: bool


def _kept(out: Path | None, formats: list[str] | None, *, draw: bool, as_csv: bool) -> _Kept:
    """Return what is written: what is asked for, or nothing where nothing is and nothing can be."""
    folder = Path(_FOLDER) if out is None else out
    asked = formats or as_csv or out is not None
    if not asked and not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        typer.echo(f"{folder} cannot be written: what is found is only printed", err=True)
        return _Kept(folder, (), draw=False)
    chosen = [name for name in formats or ["json"] if name != "none"]
    return _Kept(folder, [*chosen, *(["csv"] if as_csv else [])], draw)


def models(as_json: Json = False) -> None:
    """List the models that come with quantdet.

    Example: quantdet models
    """
    from quantdet.cli.tables import models_text
    from quantdet.runtime.pretrained import describe_pretrained

    found = describe_pretrained()
    show(found, as_json, models_text(found))


def benchmark(
    model: Annotated[Path, typer.Argument(help="A .tflite file.")],
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=256, help="Measure 1 to N threads.")
    ] = 2,
    runs: Annotated[int, typer.Option("--runs", min=3, help="Runs per setting.")] = 50,
    as_json: Json = False,
) -> None:
    """Measure latency: warm-up, median and p90, with and without XNNPACK.

    Example: quantdet benchmark runs/voc/export/model.tflite --threads 4
    """
    from quantdet.cli.bars import bar
    from quantdet.cli.tables import latency_table
    from quantdet.evaluate.latency import benchmark as measure

    with bar() as progress:
        results = measure(
            model,
            threads=range(1, threads + 1),
            warmup=10,
            runs=runs,
            progress=progress.named("benchmark"),
        )
    show([asdict(result) for result in results], as_json, latency_table(results))
