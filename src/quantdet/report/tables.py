"""Rows of the report's tables: every cell is text, so that the template only lays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from quantdet.manifest import StageRecord
from quantdet.report.verdict import faster, setting
from quantdet.results.figures import Figure
from quantdet.results.folder import Results
from quantdet.results.history import Epochs
from quantdet.results.metrics import AnyMetrics, EndToEnd, LayerFigures, LayerParity
from quantdet.results.numbers import NOTHING, percent, plain
from quantdet.runtime.contract import Contract, TensorSpec

# What each kernel set is, for readers who meet the names here for the first time.
_KERNEL_SETS = {
    "reference": "LiteRT's plain C++ loops, the definition of right",
    "optimized": "LiteRT's own fast kernels, without XNNPACK",
    "xnnpack": "what LiteRT uses on phones and PCs by default",
    "tflite-micro": "TensorFlow Lite for Microcontrollers",
}


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what it says.
        bar: length of a bar behind the text, 0 to 1; None for no bar.
        tone: "good", "fair", "bad" or "".
    """

    text: str
    bar: float | None = None
    tone: str = ""


@dataclass(frozen=True)
class Row:
    """One row; ``main`` is printed bold, ``first`` begins a group."""

    cells: tuple[Cell, ...]
    main: bool = False
    first: bool = False


@dataclass(frozen=True)
class Table:
    """A table. The first ``texts`` columns are words (left), the others figures (right)."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    texts: int = 1


def row(*cells: str | Cell, main: bool = False, first: bool = False) -> Row:
    """Return a row of texts and cells."""
    made = tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells)
    return Row(made, main, first)


def latency_table(metrics: AnyMetrics) -> Table:
    """Return times grouped by setting, so that models are compared like with like."""
    names = {row.variant: row.name for row in metrics.variants}
    slowest = max((row.median_ms for row in metrics.latency), default=1.0)
    rows: list[Row] = []
    for kernels, threads in dict.fromkeys((r.kernels, r.threads) for r in metrics.latency):
        group = [r for r in metrics.latency if (r.kernels, r.threads) == (kernels, threads)]
        base = next((item for item in group if item.variant == "float_tflite"), None)
        for number, item in enumerate(group):
            rows.append(
                row(
                    Cell(setting(item), tone="repeat" if number else ""),
                    names.get(item.variant, item.variant),
                    Cell(plain(item.median_ms, 2), bar=item.median_ms / slowest),
                    plain(item.p90_ms, 2),
                    plain(item.min_ms, 2),
                    faster(base, item) if base and item is not base else NOTHING,
                    main=item.variant == "uint8_tflite",
                    first=not number,
                )
            )
    header = ("kernels, threads", "model", "median ms", "p90 ms", "fastest ms", "against float")
    return Table("Latency of one inference", header, tuple(rows), texts=2)


def layer_table(parity: LayerParity) -> Table:
    """Return layer-by-layer parity by kind of layer, with all layers and the worst below."""
    rows = [_layer_row(kind, figures) for kind, figures in parity.by_kind.items()]
    rows.append(replace(_layer_row("all layers", parity), main=True, first=True))
    if parity.worst_layer is not None:
        name = f"least identical: {parity.worst_layer.layer} ({parity.worst_layer.kind})"
        rows.append(_layer_row(name, parity.worst_layer))
    header = (
        "layer type",
        "layers",
        "integers",
        "identical %",
        "identical %, kernel rounding modelled",
        "largest difference, steps",
    )
    return Table("Layer by layer", header, tuple(rows))


def _layer_row(name: str, figures: LayerFigures) -> Row:
    return row(
        name,
        plain(figures.layers, 0),
        plain(figures.values, 0),
        percent(figures.identical, 3),
        percent(figures.identical_exact, 3),
        plain(figures.max_lsb, 0),
    )


def kernel_table(whole: EndToEnd, agreement: Sequence[Figure]) -> Table:
    """Return every kernel set against fake-quantized Keras.

    Args:
        whole: what was measured.
        agreement: figures of what the family compares.
    """
    rows = [
        row(
            item.kernels,
            _KERNEL_SETS.get(item.kernels, ""),
            *(figure.text(item) for figure in agreement),
            percent(item.identical),
            plain(item.noise_lsb, 2),
            plain(item.max_lsb, 0),
            percent(item.exact.identical if item.exact else None, 3),
        )
        for item in whole.kernels
    ]
    titles = (figure.header for figure in agreement)
    header = (
        *("kernels", "what they are", *titles),
        *("identical %", "rms difference, steps", "largest, steps", "identical %, exact"),
    )
    return Table(f"End to end on {whole.pictures} pictures", header, tuple(rows), texts=2)


def operator_table(metrics: AnyMetrics) -> Table:
    """Return how often each operator is in the integer file."""
    most = max(metrics.operators.values(), default=1)
    ordered = sorted(metrics.operators.items(), key=lambda item: -item[1])
    rows = [row(name, Cell(str(count), bar=count / max(most, 1))) for name, count in ordered]
    total = row("all", str(sum(metrics.operators.values())), main=True, first=True)
    return Table("Operators of the integer file", ("operator", "count"), (*rows, total))


def phase_table(phases: Sequence[tuple[str, Epochs]]) -> Table:
    """Return one row a training phase: (title, its epochs)."""
    rows = []
    for title, epochs in phases:
        best = epochs.rows[min(max(epochs.best_epoch, 1), len(epochs.rows)) - 1]
        rows.append(
            row(
                title,
                str(len(epochs.rows)),
                str(epochs.best_epoch),
                plain(best.get("loss"), 4),
                plain(best.get("val_loss"), 4),
                plain(epochs.seconds, 0),
            )
        )
    header = (
        "phase",
        "epochs",
        "best epoch",
        "training loss there",
        "validation loss there",
        "seconds",
    )
    return Table("Training phases", header, tuple(rows))


def file_table(contracts: dict[str, Contract], sizes: dict[str, int]) -> Table:
    """Return the exported files with the quantization of their inputs and outputs."""
    rows = [
        row(
            name,
            _tensor(item.input.tensor),
            _tensor(item.boxes),
            _tensor(item.scores),
            item.sha256[:12] or NOTHING,
            plain(sizes.get(name), 0),
            main=name == "model.tflite",
        )
        for name, item in contracts.items()
    ]
    header = ("file", "input", "boxes", "scores", "sha256 begins", "bytes")
    return Table("Exported files", header, tuple(rows), texts=5)


def _tensor(spec: TensorSpec) -> str:
    shape = "×".join(map(str, spec.shape))
    if not spec.scale:
        return f"{spec.dtype} {shape}"
    return f"{spec.dtype} {shape}, scale {spec.scale:.6g}, zero point {spec.zero_point}"


def stage_table(stages: dict[str, StageRecord]) -> Table:
    """Return when each stage ended and how long it took."""
    rows = [
        row(name, stage.written.replace("T", " ").rstrip("Z") or NOTHING, plain(stage.seconds, 0))
        for name, stage in sorted(stages.items(), key=lambda item: item[1].written)
    ]
    return Table("Stages", ("stage", "finished (UTC)", "seconds"), tuple(rows), texts=2)


def version_table(results: Results) -> Table:
    """Return package versions, one column a stage where they differ, else one column."""
    stages = {name: stage.versions for name, stage in results.stages.items() if stage.versions}
    packages = list(dict.fromkeys(key for versions in stages.values() for key in versions))
    if len({tuple(sorted(versions.items())) for versions in stages.values()}) == 1:
        stages = {"all stages": next(iter(stages.values()))}
    rows = [
        row(package, *(versions.get(package, NOTHING) for versions in stages.values()))
        for package in packages
    ]
    return Table("Versions", ("package", *stages), tuple(rows))
