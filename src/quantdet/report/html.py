"""One self-contained HTML file about a run. Reads result files only, never models."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantdet.atomic import write_text
from quantdet.errors import ConfigError, DependencyError
from quantdet.report import tables
from quantdet.report.pictures import Picture, embed_curves, embed_examples, embed_predictions
from quantdet.report.results import AnyMetrics, Epochs, Results, read_results
from quantdet.report.views import VIEWS, View
from quantdet.runs import Run

# Stage → the command that makes it, with the run's own configuration.
STAGES = {
    "train": "quantdet train --config {config} --out {run}",
    "qat": "quantdet qat {run}",
    "export": "quantdet export {run} --format uint8 --format float32 --format int8-ptq",
    "evaluate": "quantdet evaluate {run}",
}
_PHASES = {
    "float/frozen": "Float: head on the frozen backbone",
    "float/finetune": "Float: all layers",
    "qat/finetune": "Quantization-aware training",
}
# Variant that evaluation leaves out if its file is missing → how to make the file.
_BASELINES = {
    "float_tflite": ("float .tflite", "float32"),
    "ptq_tflite": ("converter's own quantization (PTQ)", "int8-ptq"),
    "uint8_tflite": ("uint8 .tflite", "uint8"),
}


@dataclass(frozen=True)
class Missing:
    """Something a run does not have yet, and the command that makes it."""

    what: str
    command: str


@dataclass(frozen=True)
class Curve:
    """Learning curves of one phase; ``text`` says in words what they show."""

    title: str
    picture: Picture
    text: str


def write_report(run: Run) -> Path:
    """Write ``report.html`` into the run folder; what is missing is said in it.

    Returns:
        Path of the report.

    Raises:
        DependencyError: jinja2 is not installed.
        QuantdetError: config.toml or manifest.json cannot be read, or the folder not be written.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise DependencyError('the report needs jinja2: pip install "quantdet[train]"') from None
    environment = Environment(
        loader=PackageLoader("quantdet.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    write_text(run.report_file, template.render(**collect(run)))
    return run.report_file


def collect(run: Run) -> dict[str, Any]:
    """Return everything that the template shows.

    Raises:
        QuantdetError: config.toml or manifest.json cannot be read, or the model is unknown.
    """
    config, results = run.load_config(), read_results(run)
    folder = shlex.quote(str(run.root))
    model = results.contracts.get("model.tflite")
    curves = _curves(run, results)
    view = VIEWS.get(config.model.name)
    if view is None:
        raise ConfigError(
            f"{run.config_file}: model.name {config.model.name!r} is unknown; one of {[*VIEWS]}"
        )
    measured = _measured(results.metrics, VIEWS[results.metrics.task]) if results.metrics else None
    phases = [(title, results.histories[name]) for name, title in _phases(results.histories)]
    return {
        "name": "/".join(run.root.resolve().parts[-2:]),
        "date": max((stage.written for stage in results.stages.values()), default="")[:10],
        "run": folder,
        "config": config,
        "toml": config.to_toml(),
        "results": results,
        "measured": measured,
        "architecture": view.architecture(config),
        "asked": view.asked(config),
        "examples": embed_examples(run),
        "missing": _missing(run, results, folder),
        "stale": _stale(results),
        "curves": curves,
        "phases": tables.phase_table(phases) if phases else None,
        "gallery": embed_predictions(run, model.sha256 if model else ""),
        "model": model,
        "files": tables.file_table(results.contracts, _sizes(run)) if results.contracts else None,
        "stages": tables.stage_table(results.stages) if results.stages else None,
        "versions": tables.version_table(results)
        if any(stage.versions for stage in results.stages.values())
        else None,
        "install": _install(results),
        "commands": [
            command.format(run="runs/again", config="config.toml") for command in STAGES.values()
        ],
    }


def _measured(metrics: AnyMetrics, view: View) -> dict[str, Any]:
    """Return what the template shows of ``metrics.json``."""
    parity = metrics.parity
    return {
        "metrics": metrics,
        "verdict": view.verdict(metrics),
        "tiles": view.tiles(metrics),
        "checks": view.checks(metrics),
        "template": view.template,
        "accuracy": view.sections(metrics),
        "latency": tables.latency_table(metrics) if metrics.latency else None,
        "operators": tables.operator_table(metrics) if metrics.operators else None,
        "layers": tables.layer_table(parity.layers) if parity else None,
        "kernels": view.kernels(parity.end_to_end) if parity else None,
    }


def _missing(run: Run, results: Results, folder: str) -> list[Missing]:
    """Return stages that were not finished, then files that evaluation did not find."""
    config = shlex.quote(str(run.config_file))
    missing = [
        Missing(f"Stage “{stage}” is not finished", command.format(run=folder, config=config))
        for stage, command in STAGES.items()
        if stage not in results.stages
    ]
    if missing or results.metrics is None:
        return missing
    for variant, (what, name) in _BASELINES.items():
        if results.metrics.variant(variant) is None:
            again = f"quantdet export {folder} --format {name} && quantdet evaluate {folder}"
            missing.append(Missing(f"Not measured: {what}", again))
    if results.metrics.parity is None:
        missing.append(Missing("Parity was not checked", f"quantdet evaluate {folder}"))
    return missing


def _stale(results: Results) -> list[str]:
    """Return the stages that ran after the evaluation: its figures may be of earlier files."""
    evaluated = results.stages.get("evaluate")
    if evaluated is None:
        return []
    return [
        name
        for name in ("train", "qat", "export")
        # ISO times in UTC: the order of the text is the order in time.
        if name in results.stages and results.stages[name].written > evaluated.written
    ]


def _curves(run: Run, results: Results) -> list[Curve]:
    files = [*run.float_dir.glob("*/curves.png"), *run.qat_dir.glob("*/curves.png")]
    folders = {path.parent.relative_to(run.root).as_posix(): path for path in files}
    found = []
    for name, title in _phases(folders):
        picture = embed_curves(folders[name])
        if picture is None:
            results.notes.append(f"{folders[name]}: not a readable picture; run this stage again.")
            continue
        found.append(Curve(title, picture, _in_words(results.histories.get(name))))
    return found


def _phases(folders: Iterable[str]) -> list[tuple[str, str]]:
    """Return (folder, title) in the order of training, unknown ones last."""
    present = sorted(folders)
    ordered = [name for name in _PHASES if name in present]
    ordered += [name for name in present if name not in _PHASES]
    return [(name, _PHASES.get(name, name)) for name in ordered]


def _in_words(epochs: Epochs | None) -> str:
    """Return what curves show, for people who do not see them."""
    if epochs is None:
        return ""
    # Where the last epoch is kept, nothing is monitored.
    watched = epochs.monitor if epochs.monitor in epochs.rows[0] else "val_loss"
    values = [row[watched] for row in epochs.rows if watched in row]
    if not values:
        return ""
    name = "validation loss" if watched == "val_loss" else watched.replace("_", " ")
    return (
        f"{name} goes from {values[0]:.4f} to {values[-1]:.4f} in {len(values)} epochs and is "
        f"lowest, {min(values):.4f}, at epoch {values.index(min(values)) + 1}"
    )


def _sizes(run: Run) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in run.export_dir.glob("*.tflite")}


def _install(results: Results) -> str:
    """Return the command that installs the version that trained."""
    version = next(
        (
            stage.versions["quantdet"]
            for stage in results.stages.values()
            if "quantdet" in stage.versions
        ),
        None,
    )
    pin = f"=={version}" if version else ""
    return f'pip install "quantdet[train]{pin}"'
