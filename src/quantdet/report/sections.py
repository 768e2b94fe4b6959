"""The sections of a run's report, in order: what there is, and what makes what is not.

A section is in the table of contents exactly if it is in the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from quantdet.config import Config
from quantdet.kinds import find_family
from quantdet.report import data_tables, tables
from quantdet.report.errors import error_section
from quantdet.report.layers import layer_section
from quantdet.report.pictures import embed_examples, embed_predictions
from quantdet.report.plots import box_sizes, learning_curves
from quantdet.report.targets import detail_tables, target_notes, target_table
from quantdet.report.verdict import DISTURBED, Check, disturbed
from quantdet.report.views import View
from quantdet.results.figures import FIGURES
from quantdet.results.folder import Results
from quantdet.results.history import Epochs
from quantdet.results.metrics import AnyMetrics
from quantdet.runs import Run
from quantdet.system.listing import shown_files

_PHASES = {
    "float/frozen": "Float: head on the frozen backbone",
    "float/finetune": "Float: all layers",
    "qat/finetune": "Quantization-aware training",
}


@dataclass(frozen=True)
class Missing:
    """Something a run does not have yet, and the command that makes it."""

    what: str
    command: str


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes:
        id: in the page.
        title: heading, and line of the table of contents.
        data: what the template shows; empty: nothing but ``missing``.
        missing: what is not there yet.
        template: in ``templates/sections``; "": called as the id.
        gist: a few words beside the heading.
    """

    id: str
    title: str
    data: Mapping[str, object] = field(default_factory=dict)
    missing: Missing | None = None
    template: str = ""
    gist: str = ""


@dataclass(frozen=True)
class Source:
    """What sections are made of.

    Attributes:
        run: the run.
        folder: its path as a shell wants it.
        config: its configuration.
        results: its result files.
        view: of its task.
        checks: what must hold, with the results.
    """

    run: Run
    folder: str
    config: Config
    results: Results
    view: View
    checks: list[Check]


def make_sections(source: Source) -> list[Section]:
    """Return the sections that the run has, or should have at its stage."""
    return [
        *_measured(source),
        *_layers(source),
        *_parity(source),
        *_training(source.results),
        *_data(source),
        *_files(source),
    ]


def _measured(source: Source) -> Iterator[Section]:
    metrics, results = source.results.metrics, source.results
    if metrics is None:
        return
    if source.checks:
        failed = sum(not check.met for check in source.checks)
        gist = f"{failed} of {len(source.checks)} not met" if failed else "all met"
        yield Section("checks", "Checks", {"checks": source.checks}, gist=gist)
    yield _targets(source)
    tested = {"split": metrics.split, "pictures": metrics.variants[0].pictures}
    accuracy = {**tested, **source.view.sections(metrics)}
    yield Section("accuracy", "Accuracy", accuracy, template=source.view.template)
    classes = source.view.classes(metrics)
    if classes:
        yield Section("classes", "Classes", classes)
    errors = error_section(results.details, metrics) if results.details else None
    again = Missing("Errors and confusion were not measured", f"quantdet evaluate {source.folder}")
    yield Section("errors", "Where boxes go wrong", errors or {}, None if errors else again)
    yield _pictures(source)
    if metrics.latency:
        busy = sum(disturbed(item) for item in metrics.latency)
        table = tables.latency_table(metrics)
        data = {"table": table, "host": metrics.host, "busy": busy, "bound": DISTURBED}
        yield Section("latency", "Latency", data)


def _targets(source: Source) -> Section:
    verified = source.results.verified
    if verified is None:
        command = f"quantdet verify {source.folder}"
        missing = Missing("The file was not yet run on its targets", command)
        return Section("targets", "Targets", missing=missing)
    data = {
        "verified": verified,
        "table": target_table(verified),
        "notes": target_notes(verified),
        "details": detail_tables(verified),
    }
    return Section("targets", "Targets", data)


def _pictures(source: Source) -> Section:
    examples = embed_examples(source.run)
    model = source.results.contracts.get("model.tflite")
    gallery = embed_predictions(source.run, model.sha256 if model else "")
    data = {"examples": examples, "gallery": gallery}
    if examples.groups or examples.note or gallery.pictures or gallery.note:
        return Section("pictures", "Pictures", data)
    missing = Missing("No pictures were drawn yet", f"quantdet evaluate {source.folder}")
    return Section("pictures", "Pictures", missing=missing)


def _layers(source: Source) -> Iterator[Section]:
    analysis = source.results.analysis
    if analysis is not None:
        yield Section("layers", "Layers", layer_section(analysis))
    elif source.results.qat is not None:
        command = f"quantdet analyse {source.folder}"
        yield Section("layers", "Layers", missing=Missing("Noise and ranges of layers", command))


def _parity(source: Source) -> Iterator[Section]:
    metrics = source.results.metrics
    if metrics is None or metrics.parity is None:
        return
    data = {
        "layers": tables.layer_table(metrics.parity.layers),
        "kernels": tables.kernel_table(
            metrics.parity.end_to_end, FIGURES[find_family(metrics.task)].kernels
        ),
        "noise": metrics.parity.end_to_end.quantization_noise_lsb,
        "skipped": metrics.parity.skipped,
    }
    yield Section("parity", "Parity", data)


def _training(results: Results) -> Iterator[Section]:
    phases = [(title, results.histories[name]) for name, title in ordered(results.histories)]
    if not phases:
        return
    data = {
        "table": tables.phase_table(phases),
        "qat": results.qat,
        "curves": [(title, in_words(item), learning_curves(item)) for title, item in phases],
    }
    yield Section("training", "Training", data)


def _data(source: Source) -> Iterator[Section]:
    results, config = source.results, source.config
    facts = results.data
    data = {
        "config": config.data,
        "asked": source.view.asked(config),
        "train": results.train,
        "test": _tested(results.metrics),
        "splits": data_tables.split_table(facts) if facts else None,
        "classes": data_tables.class_count_table(facts) if facts else None,
        "sizes": box_sizes(facts, config.model.input_size) if facts else None,
    }
    missing = None
    if facts is None and results.metrics is not None:
        missing = Missing("The data set was not counted", f"quantdet evaluate {source.folder}")
    yield Section("data", "Data and weights", data, missing)


def _tested(metrics: AnyMetrics | None) -> tuple[str, int] | None:
    return (metrics.split, metrics.variants[0].pictures) if metrics else None


def _files(source: Source) -> Iterator[Section]:
    results = source.results
    metrics, contracts = results.metrics, results.contracts
    sizes = {
        path.name: path.stat().st_size for path in shown_files(source.run.export_dir, "*.tflite")
    }
    operators = tables.operator_table(metrics) if metrics and metrics.operators else None
    if contracts or operators:
        data = {
            "model": contracts.get("model.tflite"),
            "table": tables.file_table(contracts, sizes) if contracts else None,
            "operators": operators,
        }
        yield Section("files", "Files", data)


def ordered(folders: Iterable[str]) -> list[tuple[str, str]]:
    """Return (folder, title) of training phases in the order of training, unknown ones last."""
    present = sorted(folders)
    known = [name for name in _PHASES if name in present]
    known += [name for name in present if name not in _PHASES]
    return [(name, _PHASES.get(name, name)) for name in known]


def in_words(epochs: Epochs) -> str:
    """Return what curves show, for people who do not see them."""
    # Where the last epoch is kept, nothing is monitored.
    watched = epochs.monitor if epochs.monitor in epochs.rows[0] else "val_loss"
    values = [row[watched] for row in epochs.rows if watched in row]
    if not values:
        return ""
    name = "validation loss" if watched == "val_loss" else watched.replace("_", " ")
    if len(values) == 1:
        return f"{name} is {values[0]:.4f} after one epoch"
    return (
        f"{name} goes from {values[0]:.4f} to {values[-1]:.4f} in {len(values)} epochs and is "
        f"lowest, {min(values):.4f}, at epoch {values.index(min(values)) + 1}"
    )
