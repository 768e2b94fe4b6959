"""The stage that writes .tflite files with their contracts, and what follows from one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from quantdet.config import Config
from quantdet.errors import ConfigError
from quantdet.export.file_formats import FILE_FORMATS, export_file_formats
from quantdet.manifest import ExportedFile, ExportRecord, TrainRecord
from quantdet.progress import Progress, silent
from quantdet.runs import Run
from quantdet.runtime.contract import load_contract
from quantdet.stages.backend import import_keras_quietly
from quantdet.stages.dataset import load_data
from quantdet.stages.record import recorded
from quantdet.system.atomic import atomic_files
from quantdet.system.folder_lock import exclusive

if TYPE_CHECKING:
    import keras

    from quantdet.results.thresholds import Thresholds

FORMATS = ("uint8", "int8", "int16", "int8-ptq", "float32", "float16")


def run_export(
    run: Run, formats: Sequence[str] = ("uint8",), progress: Progress = silent
) -> list[Path]:
    """Write .tflite files with their contracts into the run's export folder.

    Args:
        run: after ``train``; for "uint8", "int8" and "int16" also after ``qat``.
        formats: out of :data:`FORMATS` and ``export.file_formats.FILE_FORMATS``; the latter are
            made from the uint8 file.
        progress: called with (phase, done, total).
    """
    check_formats(formats)
    models = [name for name in formats if name in FORMATS]
    others = [name for name in formats if name in FILE_FORMATS]
    with exclusive(run.root):
        paths = _export_models(run, models, progress) if models else []
        if others:
            made = export_file_formats(run.model_file, others, run.export_dir, replace=True)
            paths += [file for files in made.values() for file in files]
            run.save_config()
    return paths


def export_model(
    model: Path | str, formats: Sequence[str], out: Path | str | None = None
) -> list[Path]:
    """Write one .tflite with its contract in the formats that need nothing else.

    Args:
        model: the file.
        formats: out of ``export.file_formats.FILE_FORMATS``.
        out: folder for the files; None takes that of the model. Other files there stay.
    """
    check_file_formats(formats)
    model = Path(model)
    made = export_file_formats(model, formats, model.parent if out is None else Path(out))
    return [file for files in made.values() for file in files]


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that are not there (ConfigError)."""
    unknown = sorted(set(formats) - {*FORMATS, *FILE_FORMATS})
    if unknown:
        known = ", ".join((*FORMATS, *FILE_FORMATS))
        raise ConfigError(f"format {unknown[0]!r} is unknown; choose one of {known}")


def check_file_formats(formats: Sequence[str]) -> None:
    """Refuse formats that are not made from a .tflite (ConfigError)."""
    unknown = sorted(set(formats) - set(FILE_FORMATS))
    if unknown:
        raise ConfigError(
            f"format {unknown[0]!r} is not made from a .tflite; give a run folder, or one of "
            f"{', '.join(FILE_FORMATS)}"
        )


def export_file(run: Run, name: str) -> Path:
    """Return where the file of a format is."""
    return run.model_file if name == "uint8" else run.export_dir / f"model-{name}.tflite"


def _export_models(run: Run, formats: Sequence[str], progress: Progress) -> list[Path]:
    """Write .tflite files of :data:`FORMATS`."""
    config = run.load_config()
    labels = run.labels()
    import_keras_quietly()
    from quantdet.export.contract import write_contract
    from quantdet.quant.saved import load_keras

    load = cache(load_keras)
    data = run.recorded(TrainRecord).data_fingerprint
    with recorded(run, "export") as note:
        with atomic_files(run.export_dir) as made:
            for done, name in enumerate(formats):
                progress("export", done, len(formats))
                _export_one(run, name, load, made)
        progress("export", len(formats), len(formats))
        paths = [export_file(run, name) for name in formats]
        thresholds = _thresholds(run, config, paths, progress)
        written = {}
        for name, path in zip(formats, paths, strict=True):
            contract = write_contract(path, config, labels, data, thresholds)
            written[name] = ExportedFile(
                file=path.name, bytes=path.stat().st_size, sha256=contract.sha256
            )
        note(ExportRecord.model_validate(written))
    return paths


def _thresholds(
    run: Run, config: Config, written: Sequence[Path], progress: Progress
) -> Thresholds:
    """Return the thresholds of the run's product, which all files share (decision 013)."""
    from quantdet.evaluate.threshold_choice import choose_thresholds, contract_thresholds
    from quantdet.export.contract import configured, describe_export

    if config.predict.score_threshold is not None:
        return configured(config.predict)
    if run.model_file not in written and run.model_file.is_file():
        return contract_thresholds(load_contract(run.model_file))
    decides = run.model_file if run.model_file in written else written[0]
    contract = describe_export(decides, config, run.labels(), "")
    return choose_thresholds(decides, contract, config, load_data(config, run), progress)


def _export_one(run: Run, name: str, load: Callable[[Path], keras.Model], folder: Path) -> None:
    """Write the .tflite of a format into a folder, under the name it has in the run."""
    from quantdet.export.baselines import export_float, export_ptq
    from quantdet.export.integer import export_integer
    from quantdet.train.float_stage import build_task
    from quantdet.train.qat_stage import calibration_pictures

    path = folder / export_file(run, name).name
    if name in ("uint8", "int8", "int16"):
        model = load(run.qat_dir / "model.keras")
        export_integer(model, path, io_dtype=name)
        return
    model = load(run.float_dir / "model.keras")
    if name == "int8-ptq":
        config = run.load_config()
        task = build_task(config, load_data(config, run))
        export_ptq(model, path, calibration_pictures(config, task))
    else:
        export_float(model, path, half=name == "float16")
