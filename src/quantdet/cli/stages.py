"""Commands that make a detector: each stage, all of them, and the demo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantdet.cli.output import Json, show
from quantdet.errors import QuantdetError
from quantdet.presets import preset_names

if TYPE_CHECKING:
    from quantdet.cli.settings import Given
    from quantdet.config import Config
    from quantdet.export.patches import Wish
    from quantdet.progress import Progress
    from quantdet.runs import Run
    from quantdet.runtime.detector import Detector

_DEMO_PICTURES = 12

RunDir = Annotated[Path, typer.Argument(help="Run folder, as made by `quantdet train`.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file.")]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help=f"One of {', '.join(preset_names())}.",
        autocompletion=lambda: list(preset_names()),
    ),
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Data set folder.")]
MovedData = Annotated[
    Path | None,
    typer.Option("--data", help="New location of the data set; its content must be unchanged."),
]
OutRun = Annotated[Path, typer.Option("--out", help="Run folder to create or resume.")]
Weights = Annotated[
    str | None, typer.Option("--weights", help="voc-ssd300, coco, imagenet, none, or a file.")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave faulty samples out.")]


Epochs = Annotated[
    int | None, typer.Option("--epochs", min=0, help="Epochs that train all layers.")
]
Batch = Annotated[int | None, typer.Option("--batch", min=1, help="Pictures per step.")]
Size = Annotated[int | None, typer.Option("--imgsz", help="Side of the input in pixels.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate of that phase.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of weights, order, augmentation.")]
Classes = Annotated[
    str | None, typer.Option("--classes", help="Classes to learn: car,dog; default: all.")
]
BackendOption = Annotated[
    str | None, typer.Option("--backend", help="Keras' backend: tensorflow, jax or torch.")
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, gpu or gpu:N; default: what is there.")
]

DevicesOption = Annotated[
    int | None,
    typer.Option("--devices", min=1, help="GPUs of this machine that share each batch (JAX)."),
]


def config(
    data: DataOption = None,
    file: ConfigFile = None,
    preset: Preset = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Print every setting with its meaning and origin: default, preset, file or option.

    Example: quantdet config --preset recommended
    Example: quantdet config --preset ssd --set train.finetune_epochs=20
    """
    from quantdet.cli.settings import Given, training_arguments
    from quantdet.cli.tables import settings_text
    from quantdet.config import explain_config

    given = Given(file, preset, overrides or (), _options(data=data))
    settings = explain_config(**training_arguments(given))
    show([asdict(item) for item in settings], as_json, settings_text(settings))


def _options(**values: object) -> dict[str, object]:
    """Return options under the names that the command line has."""
    return {f"--{name.replace('_', '-')}": value for name, value in values.items()}


def _config(given: Given) -> Config:
    from quantdet.cli.settings import training_arguments
    from quantdet.config import load_config

    return load_config(**training_arguments(given))


def _training_command(act: Callable[[Config, Path], None]) -> Callable[..., None]:
    """Return the command that gives ``act`` a configuration and a run folder.

    Name and help are those of ``act``.
    """

    def command(  # noqa: PLR0913, PLR0917 - options of the command line
        out: OutRun,
        data: DataOption = None,
        config: ConfigFile = None,
        preset: Preset = None,
        overrides: Overrides = None,
        weights: Weights = None,
        skip_bad: SkipBad = False,
        epochs: Epochs = None,
        batch: Batch = None,
        imgsz: Size = None,
        lr: Rate = None,
        seed: Seed = None,
        classes: Classes = None,
        backend: BackendOption = None,
        device: DeviceOption = None,
        devices: DevicesOption = None,
    ) -> None:
        from quantdet.cli.settings import Given, class_list
        from quantdet.stages.device import choose_device

        rest = _options(
            data=data,
            weights=weights,
            skip_bad=skip_bad or None,
            epochs=epochs,
            batch=batch,
            imgsz=imgsz,
            lr=lr,
            seed=seed,
            classes=class_list(classes),
            devices=devices,
        )
        settings = _config(Given(config, preset, overrides or (), rest))
        choose_device(backend, device)
        act(settings, out)

    command.__name__, command.__doc__ = act.__name__, act.__doc__
    return command


@_training_command
def train(settings: Config, out: Path) -> None:
    """Train the float model; resumes where it was interrupted.

    Without a preset it finds all objects (ssd); `recommended` and `note` find one per picture.

    Example: quantdet train --data VOCdevkit/VOC2012 --out runs/voc --epochs 20
    """
    from quantdet.cli.bars import bar
    from quantdet.cli.own_process import in_own_process
    from quantdet.runs import Run
    from quantdet.stages.train import run_train

    def act() -> None:
        with bar() as progress:
            run_train(settings, out, progress)

    in_own_process(act)
    typer.echo(f"{Run(out).float_dir / 'model.keras'}\nnext: quantdet qat {out}")


def qat(  # noqa: PLR0913, PLR0917 - options of the command line
    run_dir: RunDir,
    overrides: Overrides = None,
    data: MovedData = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=0, help="0: calibrate only.")
    ] = None,
    batch: Batch = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of pictures and order.")] = None,
    backend: BackendOption = None,
    device: DeviceOption = None,
    devices: DevicesOption = None,
) -> None:
    """Quantize the float model and fine-tune it quantization-aware.

    Example: quantdet qat runs/voc --epochs 5
    """
    from quantdet.cli.bars import bar
    from quantdet.cli.own_process import in_own_process
    from quantdet.cli.settings import QAT_KEYS, Given, option_values
    from quantdet.runs import Run
    from quantdet.stages.device import choose_device
    from quantdet.stages.settings import changed_run
    from quantdet.stages.train import run_qat

    run = Run.open(run_dir)
    choose_device(backend, device)
    options = _options(epochs=epochs, batch=batch, lr=lr, seed=seed, devices=devices)
    given = Given(overrides=overrides or (), options=options)
    values = option_values(given, QAT_KEYS)
    run = changed_run(run, given.overrides, data, values=values)

    def act() -> None:
        with bar() as progress:
            run_qat(run, progress)

    in_own_process(act)
    typer.echo(f"{run.qat_dir / 'model.keras'}\nnext: quantdet export {run.root}")


def export(  # noqa: PLR0913, PLR0917 - options of the command line
    source: Annotated[
        Path, typer.Argument(help="Run folder, or a .tflite with its contract (last 4 formats).")
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="uint8, int8, int16 (of 16 bit recipes), int8-ptq, float32, float16; labels, "
            "c-array, firmware, postprocess; repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for files made from a .tflite.")
    ] = None,
    data: MovedData = None,
    patches: Annotated[
        str | None,
        typer.Option("--patches", help="Compute the first layers in patches, for instance 3x3."),
    ] = None,
    arena: Annotated[
        str | None,
        typer.Option("--arena", help="Choose patches that fit TFLite-Micro's arena, e.g. 512K."),
    ] = None,
) -> None:
    """Write .tflite files, each with its contract; integer files are checked to be integer.

    Example: quantdet export runs/voc --format uint8 --format c-array
    """
    from quantdet.cli.bars import bar
    from quantdet.cli.own_process import in_own_process
    from quantdet.export.patches import parse_wish

    wish = parse_wish(patches, arena)
    if source.is_file() and data is not None:
        raise QuantdetError("--data goes with a run; a .tflite needs none")
    if not source.is_file() and out is not None:
        raise QuantdetError("--out goes with a .tflite; a run has its own export folder")

    def act() -> None:
        with bar() as progress:
            if source.is_file():
                paths, costs = _export_file(source, formats, out, wish, progress)
            else:
                paths, costs = _export_run(_moved(source, data), formats, wish, progress)
        typer.echo("\n".join(map(_with_size, paths)) + (f"\n\n{costs}" if costs else ""))

    in_own_process(act)


def _with_size(path: Path) -> str:
    size = path.stat().st_size
    return f"{path}  " + (f"{size / 1e6:.2f} MB" if size > 1e5 else f"{size / 1e3:.1f} kB")


def _moved(run_dir: Path, data: Path | None) -> Run:
    from quantdet.runs import Run
    from quantdet.stages.settings import changed_run

    run = Run.open(run_dir)
    return run if data is None else changed_run(run, data=data)


def _export_file(
    model: Path,
    formats: list[str] | None,
    out: Path | None,
    wish: Wish | None,
    progress: Progress,
) -> tuple[Sequence[Path], str]:
    from quantdet.cli.patches_text import patches_text
    from quantdet.stages.export import export_model
    from quantdet.stages.patches import patch_model

    if wish is None:
        return export_model(model, formats or ["uint8"], out), ""
    made = patch_model(model, wish, formats or (), out, progress)
    return made.paths, patches_text(made)


def _export_run(
    run: Run, formats: list[str] | None, wish: Wish | None, progress: Progress
) -> tuple[Sequence[Path], str]:
    from quantdet.cli.patches_text import patches_text
    from quantdet.stages.export import run_export
    from quantdet.stages.patches import patch_run

    wanted = formats or ["uint8"]
    if wish is None:
        return run_export(run, wanted, progress), ""
    made = patch_run(run, wish, wanted, progress)
    return made.paths, patches_text(made)


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
    from quantdet.runs import Run
    from quantdet.stages.report import run_comparison, run_report

    runs = [Run.open(path) for path in run_dirs]
    several = len(runs) > 1
    written = run_comparison(runs, out) if several else run_report(runs[0], out)
    typer.echo(str(written))


@_training_command
def run(settings: Config, out: Path) -> None:
    """Do everything: train, qat, export, evaluate, analyse, report.

    Without a preset it finds all objects (ssd); `recommended` and `note` find one per picture.

    Example: quantdet run --data VOCdevkit/VOC2012 --out runs/voc --batch 8
    """
    _run_all(settings, out)


def demo(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(help="Your own pictures, for the model that comes with quantdet."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for all output.")] = Path("demo"),
) -> None:
    """Demonstrate the model that comes with quantdet, and a training run on generated scenes.

    Example: quantdet demo street.jpg
    """
    from quantdet.cli.bars import bar
    from quantdet.cli.settings import Given
    from quantdet.data.dataset import load_dataset
    from quantdet.data.scenes import generate_scenes
    from quantdet.runtime.detector import Detector
    from quantdet.stages.report import run_report

    with bar() as progress:
        data = generate_scenes(out / "VOCdevkit", count=480, progress=progress.named("generate"))
    samples = load_dataset(data, splits=("test",)).splits["test"][:_DEMO_PICTURES]
    scenes = [str(sample.image_path) for sample in samples]
    _draw(Detector.pretrained(), pictures or scenes, out / "shipped")
    finished = _run_all(_config(Given(preset="demo", options=_options(data=data))), out / "run")
    _draw(Detector(finished.root), scenes, out / "predictions")
    run_report(finished)  # once more, now with the pictures drawn


def _draw(detector: Detector, pictures: Sequence[str], out: Path) -> None:
    from quantdet.runtime.predict import predict_to_folder

    predict_to_folder(detector, pictures, out)
    typer.echo(f"boxes:  {out}")


def _run_all(settings: Config, out: Path) -> Run:
    from quantdet.cli.bars import bar
    from quantdet.cli.metrics_text import metrics_table
    from quantdet.cli.own_process import in_own_process
    from quantdet.pipeline import run_all
    from quantdet.results.folder import read_results
    from quantdet.stages.device import require_tensorflow
    from quantdet.system.processes import leads

    require_tensorflow()
    with bar() as progress:
        finished = run_all(settings, out, progress, in_own_process)
    if not leads():
        typer.echo("trained; the first process goes on alone")
        return finished
    metrics = read_results(finished).metrics
    if metrics is not None:
        typer.echo(metrics_table(metrics))
    typer.echo(f"\nmodel:  {finished.model_file}\nreport: {finished.report_file}")
    return finished
