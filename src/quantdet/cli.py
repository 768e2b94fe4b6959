"""The command line: parse, call, show; errors become exit codes here and nowhere else.

0 done · 1 a defect of quantdet · 2 something the user can mend · 3 `verify` found a target that
fails. Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from quantdet.cli_analyse import analyse
from quantdet.cli_device import benchmark, models, predict
from quantdet.cli_evaluate import evaluate
from quantdet.cli_output import Json, show
from quantdet.cli_verify import verify
from quantdet.cli_web import web
from quantdet.errors import QuantdetError

app = typer.Typer(
    help="Images with boxes in, full-integer uint8 LiteRT detector out, measured on the file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_DEMO_PICTURES = 12

data_app = typer.Typer(help="Get, organise, check and look at data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

RunDir = Annotated[Path, typer.Argument(help="Run folder, as made by `quantdet train`.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")
]
DataRoot = Annotated[Path, typer.Argument(help="Data set folder, e.g. VOCdevkit/VOC2012.")]
Format = Annotated[str, typer.Option("--format", help="auto, voc, coco or yolo.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="Class names, one a line.")]


def main() -> None:
    """Run the command line and leave with its exit code."""
    # TensorFlow's C++ part reads this when it is first imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        # Without standalone mode click returns the code of typer.Exit instead of leaving.
        code = app(standalone_mode=False)
    except QuantdetError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on from here", err=True)
        sys.exit(130)
    except Exception as error:
        # Typer's usage errors know how to show themselves; the rest are defects with traceback.
        if hasattr(error, "format_message"):
            _fail(error.format_message())
        raise
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(2)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show versions, backend and devices, and what is missing with its install line.

    Example: quantdet doctor
    """
    from quantdet.doctor import examine, render

    result = examine()
    show(result, as_json, render(result))


@data_app.command("download")
def data_download(
    name: Annotated[str, typer.Argument(help="voc2012 or voc2007.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for what comes.")],
    source: Annotated[
        str | None, typer.Option("--from", help="Folder, zip, tar or URL instead of Kaggle.")
    ] = None,
) -> None:
    """Fetch a data set; goes on where it broke off.

    Example: quantdet data download voc2012 --out downloads/voc2012
    """
    from quantdet.data.sources import download
    from quantdet.progress import bar

    with bar() as progress:
        path = download(name, out, source=source, progress=progress.named("download"))
    typer.echo(f"{path}\nnext: quantdet data prepare {path} --out VOCdevkit")


@data_app.command("prepare")
def data_prepare(
    source: Annotated[Path, typer.Argument(help="Folder with one or more VOC trees.")],
    out: Annotated[Path, typer.Option("--out", help="VOCdevkit folder to make or fill.")],
    copy: Annotated[bool, typer.Option("--copy", help="Copy instead of hard links.")] = False,
    remove_source: Annotated[
        bool, typer.Option("--remove-source", help="Remove the source once verified.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Merge VOC trees into VOCdevkit/VOC<year>; nothing is removed before it is verified.

    Example: quantdet data prepare downloads/voc2012 --out VOCdevkit
    """
    from quantdet.data.prepare import prepare_voc
    from quantdet.progress import bar

    with bar() as progress:
        result = prepare_voc(
            source,
            out,
            link=not copy,
            remove_source=remove_source,
            progress=progress.named("prepare"),
        )
    text = (
        f"{result.root}: {result.pictures} pictures, {result.annotations} annotations, "
        f"{result.lists} lists (linked {result.linked}, copied {result.copied}, "
        f"there before {result.already}, removed from source {result.removed})"
    )
    show(result.to_dict(), as_json, text)


@data_app.command("check")
def data_check(
    root: DataRoot,
    data_format: Format = "auto",
    labels: Labels = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the findings as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Look for everything that would spoil training; exit code 2 if something does.

    Example: quantdet data check VOCdevkit/VOC2012
    """
    from quantdet.atomic import write_json
    from quantdet.data.check import check_dataset
    from quantdet.progress import bar
    from quantdet.tables import check_table

    with bar() as progress:
        result = check_dataset(
            root, format=data_format, labels=labels, progress=progress.named("check")
        )
    if out is not None:
        write_json(out, result.to_dict())
    show(result.to_dict(), as_json, check_table(result.to_dict()))
    if not result.ok:
        raise typer.Exit(2)


@data_app.command("show")
def data_show(
    root: DataRoot,
    out: Annotated[Path, typer.Option("--out", help="Picture to write.")] = Path("sheet.png"),
    split: Annotated[str, typer.Option("--split")] = "train",
    count: Annotated[int, typer.Option("--count", min=1)] = 16,
    data_format: Format = "auto",
) -> None:
    """Draw a contact sheet with boxes.

    Example: quantdet data show VOCdevkit/VOC2012 --out sheet.png
    """
    from quantdet.data.dataset import load_dataset
    from quantdet.data.show import contact_sheet
    from quantdet.progress import bar

    with bar() as progress:
        dataset = load_dataset(root, format=data_format, splits=(split,), skip_bad=True)
        contact_sheet(
            dataset.splits[split],
            dataset.labels,
            out,
            count=count,
            seed=0,
            progress=progress.named("draw"),
        )
    typer.echo(str(out))


@data_app.command("convert")
def data_convert(  # noqa: PLR0913, PLR0917 - options of the command line
    root: DataRoot,
    out: Annotated[Path, typer.Option("--out", help="Folder to make.")],
    to: Annotated[str, typer.Option("--to", help="voc, coco or yolo.")],
    data_format: Format = "auto",
    copy: Annotated[bool, typer.Option("--copy", help="Copy pictures, make no links.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave faulty samples out.")] = False,
) -> None:
    """Write a data set in another format; pictures are hard links where the disk allows.

    Example: quantdet data convert VOCdevkit/VOC2012 --to yolo --out voc2012-yolo
    """
    from quantdet.data.convert import convert
    from quantdet.data.dataset import load_dataset
    from quantdet.progress import bar

    with bar() as progress:
        dataset = load_dataset(
            root, format=data_format, skip_bad=skip_bad, progress=progress.named("read")
        )
        done = convert(dataset, out, to, link=not copy, progress=progress.named("write"))
    typer.echo(f"{done.root}: {done.pictures} pictures, {len(dataset.labels)} classes")
    for reason in dataset.skipped:
        typer.echo(f"left out: {reason}")
    if done.objects_left_out:
        typer.echo(f"left out: {done.objects_left_out} difficult objects, which {to} cannot mark")


ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file.")]
Preset = Annotated[
    str | None, typer.Option("--preset", help="ssd, voc_ssd300, note, recommended or demo.")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Data set folder.")]
OutRun = Annotated[Path, typer.Option("--out", help="Run folder to make or go on with.")]
Weights = Annotated[
    str | None, typer.Option("--weights", help="voc-ssd300, coco, imagenet, none, or a file.")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave faulty samples out.")]


def _config(
    file: Path | None,
    preset: str | None,
    overrides: Sequence[str] | None,
    options: dict[str, dict[str, Any]],
) -> Any:
    from quantdet.config import load_config

    values = {
        section: {key: value for key, value in keys.items() if value is not None}
        for section, keys in options.items()
    }
    return load_config(file, preset=preset, overrides=overrides or (), values=values)


def _options(data: Path | None, weights: str | None, skip_bad: bool) -> dict[str, dict[str, Any]]:
    return {
        "data": {"root": data, "skip_bad": skip_bad or None},
        "model": {"weights": weights},
    }


@app.command()
def train(  # noqa: PLR0913, PLR0917 - options of the command line
    out: OutRun,
    data: DataOption = None,
    config: ConfigFile = None,
    preset: Preset = None,
    overrides: Overrides = None,
    weights: Weights = None,
    skip_bad: SkipBad = False,
) -> None:
    """Train the float model; goes on where it was interrupted.

    Example: quantdet train --data VOCdevkit/VOC2012 --out runs/voc --preset recommended
    """
    from quantdet import pipeline
    from quantdet.progress import bar

    settings = _config(config, preset, overrides, _options(data, weights, skip_bad))
    with bar() as progress:
        run = pipeline.run_train(settings, out, progress)
    typer.echo(f"{run.float_dir / 'model.keras'}\nnext: quantdet qat {run.root}")


@app.command()
def qat(run_dir: RunDir, overrides: Overrides = None) -> None:
    """Quantize the float model and fine-tune it quantization-aware.

    Example: quantdet qat runs/voc --set qat.epochs=5
    """
    from quantdet import pipeline
    from quantdet.progress import bar
    from quantdet.runs import Run

    run = Run.open(run_dir)
    pipeline.update_config(run, overrides or ())
    with bar() as progress:
        pipeline.run_qat(run, progress)
    typer.echo(f"{run.qat_dir / 'model.keras'}\nnext: quantdet export {run.root}")


@app.command()
def export(
    source: Annotated[
        Path, typer.Argument(help="Run folder, or a .tflite with its contract (last 3 formats).")
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="uint8, int8, int16 (of 16 bit recipes), int8-ptq, float32, float16; labels, "
            "c-array, postprocess; repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Of a .tflite: folder for the files.")
    ] = None,
) -> None:
    """Write .tflite files, each with its contract; integer files are checked to be integer.

    Example: quantdet export runs/voc --format uint8 --format c-array
    """
    from quantdet import pipeline
    from quantdet.progress import bar
    from quantdet.runs import Run

    wanted = formats or ["uint8"]
    if source.is_file():
        paths = pipeline.export_model(source, wanted, out)
    elif out is not None:
        raise QuantdetError("--out goes with a .tflite; a run has its own export folder")
    else:
        with bar() as progress:
            paths = pipeline.run_export(Run.open(source), wanted, progress)
    for path in paths:
        size = path.stat().st_size
        typer.echo(f"{path}  " + (f"{size / 1e6:.2f} MB" if size > 1e5 else f"{size / 1e3:.1f} kB"))


app.command()(evaluate)
app.command()(analyse)
app.command()(verify)
app.command()(predict)
app.command()(models)
app.command()(benchmark)
app.command()(web)


@app.command()
def report(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Run folder; two or more are compared.", metavar="RUN...")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="File; default: in the (first) run folder.")
    ] = None,
) -> None:
    """Write report.html of a run, or comparison.html of several: one file, no network.

    Example: quantdet report runs/voc
    """
    from quantdet import pipeline
    from quantdet.runs import Run

    runs = [Run.open(path) for path in run_dirs]
    several = len(runs) > 1
    written = pipeline.run_comparison(runs, out) if several else pipeline.run_report(runs[0], out)
    typer.echo(str(written))


@app.command()
def run(  # noqa: PLR0913, PLR0917 - options of the command line
    out: OutRun,
    data: DataOption = None,
    config: ConfigFile = None,
    preset: Preset = None,
    overrides: Overrides = None,
    weights: Weights = None,
    skip_bad: SkipBad = False,
) -> None:
    """Do everything: train, qat, export, evaluate, analyse, report.

    Example: quantdet run --data VOCdevkit/VOC2012 --out runs/voc --preset recommended
    """
    settings = _config(config, preset, overrides, _options(data, weights, skip_bad))
    _run_all(settings, out)


@app.command()
def demo(
    pictures: Annotated[
        list[str] | None, typer.Argument(help="Your own, for the model that comes with quantdet.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything.")] = Path("demo"),
) -> None:
    """Show both: the model that comes with quantdet, and a whole training run on generated scenes.

    Example: quantdet demo street.jpg
    """
    from quantdet import pipeline
    from quantdet.data.dataset import load_dataset
    from quantdet.data.scenes import generate_scenes
    from quantdet.progress import bar
    from quantdet.runtime.detector import Detector

    with bar() as progress:
        data = generate_scenes(out / "VOCdevkit", count=480, progress=progress.named("generate"))
    samples = load_dataset(data, splits=("test",)).splits["test"][:_DEMO_PICTURES]
    scenes = [str(sample.image_path) for sample in samples]
    _draw(Detector.pretrained(), pictures or scenes, out / "shipped")
    finished = _run_all(_config(None, "demo", None, _options(data, None, False)), out / "run")
    _draw(Detector(finished.root), scenes, out / "predictions")
    pipeline.run_report(finished)  # once more, now with the pictures drawn


def _draw(detector: Any, pictures: Sequence[str], out: Path) -> None:
    from quantdet.runtime.predict import predict_to_folder

    predict_to_folder(detector, pictures, out)
    typer.echo(f"boxes:  {out}")


def _run_all(settings: Any, out: Path) -> Any:
    from quantdet import pipeline
    from quantdet.metrics_text import metrics_table
    from quantdet.progress import bar

    with bar() as progress:
        finished = pipeline.run_all(settings, out, progress)
    metrics = json.loads(finished.metrics_file.read_text("utf-8"))
    typer.echo(metrics_table(metrics))
    typer.echo(f"\nmodel:  {finished.model_file}\nreport: {finished.report_file}")
    return finished


if __name__ == "__main__":
    main()
