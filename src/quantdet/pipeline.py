"""The stages of a run: train, qat, export, evaluate, report; analyse and verify.


Each stage reads the folder, writes its results in one step, can be run again (what is finished
is not repeated) and resumes where it was killed.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantdet.config import Config, DataConfig, load_config
from quantdet.data.configured import judge_configured, judge_training, load_configured
from quantdet.data.contents import describe_contents, require_same
from quantdet.data.facts import dataset_facts
from quantdet.data.pictures import look_at_pictures
from quantdet.data.sample import Dataset
from quantdet.errors import ConfigError, DependencyError, QuantdetError
from quantdet.export.file_formats import FILE_FORMATS, export_file_formats
from quantdet.progress import Progress, silent
from quantdet.results.contents import Contents
from quantdet.runs import Run
from quantdet.runtime.contract import load_contract
from quantdet.system.atomic import write_text
from quantdet.system.log import written_log
from quantdet.system.memory import release_memory
from quantdet.system.quiet import quiet_stderr

if TYPE_CHECKING:
    from keras.callbacks import Callback

    from quantdet.results.analysis import Analysis
    from quantdet.results.metrics import AnyMetrics, DetectionMetrics
    from quantdet.results.thresholds import Thresholds
    from quantdet.results.verification import Verification
    from quantdet.train.task import Watch


_log = logging.getLogger(__name__)
VERIFY_PICTURES = 50
FORMATS = ("uint8", "int8", "int16", "int8-ptq", "float32", "float16")
_PACKAGES = ("quantdet", "keras", "tensorflow-cpu", "tensorflow", "ai-edge-litert", "numpy")


def run_train(
    config: Config,
    out: Path | str,
    progress: Progress = silent,
    *,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train the float model of ``config`` into the run folder ``out``.

    What happens is written to ``train.log`` there, and to the logger ``quantdet``.

    Args:
        config: the whole configuration.
        out: run folder to make, or to resume.
        progress: called with (phase, done, total).
        callbacks: Keras callbacks. Each phase is one ``fit`` for them; ``logs`` holds the losses
            and, where it was measured, ``val_map``.

    Raises:
        QuantdetError: configuration, data, weights or folder are wrong; the message says which.
    """
    out = Path(out)
    stage = _training_stages()[0]
    from quantdet.stages.announce import describe_training
    from quantdet.stages.check import check_config

    judged, digests = judge_training(config, progress=progress)
    dataset = judged.require()
    check_config(config, dataset)
    contents = describe_contents(dataset, digests)
    run = _save_config(Run(out), config, contents)
    with _recorded(run, "train") as entry, written_log(run.log_file):
        _log.info("%s", describe_training(config, dataset.labels))
        _write_data_facts(run, config, dataset)
        contents.save(run.pictures_file)
        watch = _watch(config, dataset, progress, callbacks)
        trained = stage(config, dataset, run.float_dir, watch)
        _write_summary(trained.model, run.float_dir)
        entry.update(trained.summary, data_fingerprint=contents.fingerprint)
    return run


def run_qat(run: Run, progress: Progress = silent, *, callbacks: Sequence[Callback] = ()) -> Run:
    """Quantize and fine-tune the float model of a run; arguments as in :func:`run_train`."""
    stage = _training_stages()[1]
    config = run.load_config()
    dataset = _load(config, run)
    if run.pictures_file.exists():
        require_same(run, describe_contents(dataset), config.data.root)
    with _recorded(run, "qat") as entry, written_log(run.log_file):
        _log.info("Quantizing: %d epochs of training behind calibration", config.qat.epochs)
        watch = _watch(config, dataset, progress, callbacks)
        source = run.float_dir / "model.keras"
        quantized = stage(config, dataset, source, run.qat_dir, watch)
        _write_summary(quantized.model, run.qat_dir)
        entry.update(quantized.summary)
    return run


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
    unknown = sorted(set(formats) - {*FORMATS, *FILE_FORMATS})
    if unknown:
        known = ", ".join((*FORMATS, *FILE_FORMATS))
        raise ConfigError(f"format {unknown[0]!r} is unknown; choose of {known}")
    models = [name for name in formats if name in FORMATS]
    others = [name for name in formats if name in FILE_FORMATS]
    paths = _export_models(run, models, progress) if models else []
    if others:
        made = export_file_formats(run.model_file, others, run.export_dir, replace=True)
        paths += [file for files in made.values() for file in files]
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
    unknown = sorted(set(formats) - set(FILE_FORMATS))
    if unknown:
        raise ConfigError(
            f"format {unknown[0]!r} is not made from a .tflite; give a run folder, or choose of "
            f"{', '.join(FILE_FORMATS)}"
        )
    model = Path(model)
    made = export_file_formats(model, formats, model.parent if out is None else Path(out))
    return [file for files in made.values() for file in files]


def export_file(run: Run, name: str) -> Path:
    """Return where the file of a format is."""
    return run.model_file if name == "uint8" else run.export_dir / f"model-{name}.tflite"


def run_evaluate(run: Run, *, parity_pictures: int = 16, progress: Progress = silent) -> AnyMetrics:
    """Measure every model of the run on the test split, on the .tflite files themselves.

    Args:
        run: what exists in it is measured.
        parity_pictures: pictures for the parity checks; 0 leaves them out.
        progress: called with (phase, done, total).

    Returns:
        What is written to ``metrics.json``; ``details.json`` and ``data.json`` lie beside it.
    """
    _import_keras_quietly()
    from quantdet.evaluate.run import evaluate_run

    config = run.load_config()
    dataset = _load_tested(config, run)
    if config.data.train_split in dataset.splits and not run.data_file.exists():
        _write_data_facts(run, config, dataset)
    with _recorded(run, "evaluate") as entry:
        metrics = evaluate_run(run, config, dataset, parity_pictures, progress)
        entry["metrics"] = run.metrics_file.name
    return metrics


def evaluate_model(
    model: Path | str, data: DataConfig, progress: Progress = silent
) -> DetectionMetrics:
    """Measure one .tflite with its contract, whoever made it, on ``data.test_split``.

    Returns:
        What ``quantdet evaluate --json`` prints.

    Raises:
        QuantdetError: model, contract or data are wrong, or share no class.
    """
    from quantdet.evaluate.foreign import evaluate_file

    model = Path(model)
    split = data.test_split
    dataset = load_configured(data, splits=(split,))
    measured = partial(progress, f"measure {model.name}")
    return evaluate_file(model, dataset, split, measured)


def run_analyse(
    run: Run,
    *,
    pictures: int = 16,
    sensitivity: bool = True,
    progress: Progress = silent,
) -> Analysis:
    """Find the layers that quantization hurts; write ``analysis.json`` and ``analysis.png``.

    Args:
        run: after ``qat``.
        pictures: of the validation split, or of the training split without one; >= 1.
        sensitivity: quantize one layer at a time, too; that takes most of the time.
        progress: called with (phase, done, total).

    Returns:
        What is written to ``analysis.json``.

    Raises:
        QuantdetError: the run has no quantized model, or data or models do not fit.
    """
    _training_stages()
    from quantdet.report.analysis import draw_analysis
    from quantdet.train.analyse_stage import AnalyseSettings, analyse_models

    config = run.load_config()
    models = (run.float_dir / "model.keras", run.qat_dir / "model.keras")
    settings = AnalyseSettings(pictures, sensitivity)
    with _recorded(run, "analyse") as entry:
        result = analyse_models(config, _load(config, run), models, settings, progress)
        result.save(run.analysis_file)
        draw_analysis(result, run.analysis_picture)
        entry.update(file=run.analysis_file.name, pictures=result.pictures)
    return result


def run_verify(
    run: Run,
    targets: Sequence[str] = (),
    pictures: int = VERIFY_PICTURES,
    data: Path | str | None = None,
    progress: Progress = silent,
) -> Verification:
    """Take the integer model of a run through targets and compare it with fake-quantized Keras.

    Args:
        run: after ``export``.
        targets: names out of ``verify.targets.TARGETS``; none stands for all.
        pictures: how many, spread evenly over them all.
        data: data set or folder of pictures; None takes the run's test split.
        progress: called with (phase, done, total).

    Returns:
        What ``quantdet verify`` prints. Saved as ``run.verify_file`` it is part of the report.

    Raises:
        QuantdetError: run, pictures or a name are wrong. What fails on a target is in the result.
    """
    from quantdet.verify.models import load_checked, run_subject
    from quantdet.verify.pictures import picture_files, read_pictures
    from quantdet.verify.run import check_targets, verify_subject

    names = check_targets(targets)
    _, contract = load_checked(run.root)
    _import_keras_quietly()
    paths = _test_pictures(run) if data is None else picture_files(Path(data))
    chosen = read_pictures(paths, pictures, contract.input.size_hw)
    with _recorded(run, "verify") as entry:
        subject = run_subject(run, contract, chosen, progress)
        result = verify_subject(subject, names, progress)
        entry["targets"] = {item.target: item.status for item in result.targets}
    return result


def verify_model(
    model: Path | str,
    data: Path | str,
    targets: Sequence[str] = (),
    pictures: int = VERIFY_PICTURES,
    progress: Progress = silent,
) -> Verification:
    """Take one .tflite with its contract through targets; LiteRT's reference kernels are right.

    Args and Raises are those of :func:`run_verify`.
    """
    from quantdet.verify.models import file_subject, load_checked
    from quantdet.verify.pictures import picture_files, read_pictures
    from quantdet.verify.run import check_targets, verify_subject

    names = check_targets(targets)
    model_file, contract = load_checked(Path(model))
    chosen = read_pictures(picture_files(Path(data)), pictures, contract.input.size_hw)
    tick = partial(progress, "reference kernels")
    subject = file_subject(model_file, contract, chosen, tick)
    return verify_subject(subject, names, progress)


def run_report(run: Run, out: Path | str | None = None) -> Path:
    """Write the run's HTML report, ``report.html`` in its folder or ``out``; return its path."""
    out = None if out is None else Path(out)
    from quantdet.report.html import write_report

    return write_report(run, out)


def run_comparison(runs: Sequence[Run], out: Path | str | None = None) -> Path:
    """Write one HTML report about several runs and return its path.

    Args:
        runs: two or more of one kind of model; the others are compared with the first.
        out: the file; None: ``comparison.html`` in the folder of the first.

    Raises:
        QuantdetError: a run cannot be read, or the runs cannot be compared.
    """
    out = None if out is None else Path(out)
    from quantdet.report.compare import write_comparison

    return write_comparison(runs, out or runs[0].root / "comparison.html")


def run_all(config: Config, out: Path | str, progress: Progress = silent) -> Run:
    """Run every stage: train, qat, export with baselines, evaluate, analyse, report."""
    out = Path(out)
    run = run_train(config, out, progress)
    run_qat(run, progress)
    run_export(run, ("uint8", "int8-ptq", "float32"), progress)
    run_evaluate(run, progress=progress)
    run_analyse(run, sensitivity=False, progress=progress)
    run_report(run)
    return run


def update_config(
    run: Run,
    overrides: Sequence[str] = (),
    data: Path | str | None = None,
    splits: Sequence[str] | None = None,
    values: Mapping[str, Any] | None = None,
) -> None:
    """Change sections of a run's configuration that later stages read, and save it.

    [data] may change, too, as long as it still describes the pictures and annotations that the
    float model was trained with.

    Args:
        run: after ``train``.
        overrides: ``section.key=value`` strings.
        data: where the data set is now; None: where it was.
        splits: those that have to be there; None: all of training.
        values: nested mapping with the last word.

    Raises:
        ConfigError: the change would touch what the float model was trained with.
        DataError: the data differs; the message says in what.
    """
    moved = {} if data is None else {"data": {"root": data}}
    config = load_config(run.config_file, overrides=overrides, values={**(values or {}), **moved})
    contents = None
    if data is not None or config.data != run.load_config().data:
        contents = describe_contents(_load(config, run, splits))
    _save_config(run, config, contents)


def _save_config(run: Run, config: Config, contents: Contents | None) -> Run:
    """Save a configuration; ``contents``, if known, have to be those of training."""
    same = contents is not None and run.pictures_file.exists() and run.float_dir.exists()
    if contents is not None and same:
        require_same(run, contents, config.data.root)
    return Run.create(run.root, config, same_data=same)


def _export_models(run: Run, formats: Sequence[str], progress: Progress) -> list[Path]:
    """Write .tflite files of :data:`FORMATS`."""
    config = run.load_config()
    labels = run.labels()
    paths = []
    _import_keras_quietly()
    from quantdet.export.contract import write_contract
    from quantdet.quant.saved import load_keras

    load = cache(load_keras)
    data = str(run.manifest().get("train", {}).get("data_fingerprint", ""))
    with _recorded(run, "export") as entry:
        for done, name in enumerate(formats):
            progress("export", done, len(formats))
            paths.append(_export_one(run, config, name, load))
        progress("export", len(formats), len(formats))
        thresholds = _thresholds(run, config, paths, progress)
        for name, path in zip(formats, paths, strict=True):
            contract = write_contract(path, config, labels, data, thresholds)
            entry[name] = {
                "file": path.name,
                "bytes": path.stat().st_size,
                "sha256": contract.sha256,
            }
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
    return choose_thresholds(decides, contract, config, _load(config, run), progress)


def _export_one(run: Run, config: Config, name: str, load: Callable[[Path], Any]) -> Path:
    from quantdet.export.baselines import export_float, export_ptq
    from quantdet.export.integer import export_integer
    from quantdet.train.float_stage import build_task
    from quantdet.train.qat_stage import calibration_pictures

    path = export_file(run, name)
    if name in ("uint8", "int8", "int16"):
        model = load(run.qat_dir / "model.keras")
        return export_integer(model, path, io_dtype=name)
    model = load(run.float_dir / "model.keras")
    if name == "int8-ptq":
        task = build_task(config, _load(config, run))
        return export_ptq(model, path, calibration_pictures(config, task))
    return export_float(model, path, half=name == "float16")


def _load(config: Config, run: Run | None = None, splits: Sequence[str] | None = None) -> Dataset:
    """Load the data set; of an existing run with the labels that it was trained with."""
    labels = None if run is None else run.labels()
    judged = judge_configured(config.data, labels, splits)
    if config.data.skip_bad:
        judged, _ = look_at_pictures(judged)
    judged.raise_first()
    return judged.dataset


def _load_tested(config: Config, run: Run) -> Dataset:
    """Load all splits, or the test split: of a run trained elsewhere no more may be here."""
    with suppress(QuantdetError):
        whole = _load(config, run)
        if config.data.test_split in whole.splits:
            return whole
    return _load(config, run, splits=(config.data.test_split,))


def _test_pictures(run: Run) -> list[Path]:
    config = run.load_config()
    split = config.data.test_split
    return [sample.image_path for sample in _load(config, run, (split,)).splits[split]]


def _write_data_facts(run: Run, config: Config, dataset: Dataset) -> None:
    wanted = (config.data.train_split, config.data.val_split, config.data.test_split)
    splits = {name: dataset.splits[name] for name in wanted if name in dataset.splits}
    dataset_facts(replace(dataset, splits=splits)).save(run.data_file)


def _write_summary(model: Any, folder: Path) -> None:
    """Write the layers of a model as a text file, as Keras shows them."""
    lines: list[str] = []
    # Wide enough for names of quantizers; what does not fit would be broken into several lines.
    model.summary(line_length=120, print_fn=lambda line, line_break=True: lines.append(line))
    write_text(folder / "model.txt", "\n".join(lines) + "\n")


def _watch(
    config: Config, dataset: Dataset, progress: Progress, callbacks: Sequence[Callback]
) -> Watch:
    """Return who looks on while a stage trains.

    Raises:
        ConfigError: what is given is no Keras callback.
    """
    import keras

    from quantdet.stages.validate import find_validator
    from quantdet.train.task import Watch

    for item in callbacks:
        if not isinstance(item, keras.callbacks.Callback):
            raise ConfigError(f"callbacks: {item!r} is no keras.callbacks.Callback")
    return Watch(progress, partial(find_validator, config, dataset.labels), tuple(callbacks))


def _training_stages() -> tuple[Callable[..., Any], Callable[..., Any]]:
    _import_keras_quietly()
    try:
        from quantdet.train.float_stage import train_float
        from quantdet.train.qat_stage import train_qat
    except ImportError as error:
        raise DependencyError(
            f'training needs {error.name}: pip install "quantdet[train]"'
        ) from None
    return train_float, train_qat


def _import_keras_quietly() -> None:
    """Import the training backend without its greetings; later only its errors are shown."""
    with suppress(ImportError), quiet_stderr():
        import keras  # noqa: F401
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextmanager
def _recorded(run: Run, stage: str) -> Iterator[dict[str, Any]]:
    """Note in the manifest what a stage did, how long it took, and with which versions."""
    entry: dict[str, Any] = {}
    start = time.perf_counter()
    yield entry
    release_memory()
    entry["seconds"] = round(time.perf_counter() - start, 2)
    entry["versions"] = versions()
    run.record(stage, entry)


def versions() -> dict[str, str]:
    """Return the versions that decide a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
