"""What a run's verdict is made of: one sentence, four figures, and a list of checks.

What is the same for every kind of model stands here; the rest in one file a kind, see ``views``.
Every threshold of the report stands in these files, and is printed in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quantdet.results.figures import Figure
from quantdet.results.metrics import Latency, LayerParity, Metrics, Variant
from quantdet.results.numbers import megabytes, percent, plain, times

Tone = Literal["good", "fair", "bad"]

# Layer by layer, with LiteRT's kernel rounding modelled.
LAYERS_IDENTICAL, LAYERS_MAX_LSB = 0.999, 1
# Median over the fastest of the same runs: 1.0 to 1.2 on a quiet machine.
DISTURBED = 1.5


@dataclass(frozen=True)
class Verdict:
    """The headline.

    Attributes:
        tone: "good", "fair" or "bad".
        text: one sentence with the differences.
        rule: what the words of the sentence mean.
        caution: how far figures from this many pictures can be trusted.
    """

    tone: Tone
    text: str
    rule: str
    caution: str


@dataclass(frozen=True)
class Tile:
    """One figure of the headline, float → uint8; ``before`` is empty if not measured."""

    title: str
    before: str
    after: str
    change: str
    note: str = ""


def figure_tile(figure: Figure, before: Variant | None, after: Variant) -> Tile:
    """Return a figure of float, if it was measured, beside that of uint8."""
    old, new = figure.value(before), figure.value(after)
    unit = f" {figure.unit}".rstrip()
    change = "" if old is None or new is None else figure.change(new - old)
    bounds = figure.interval(after)
    return Tile(
        figure.title,
        "" if old is None else f"{figure.number(old)}{unit}",
        f"{figure.number(new)}{unit}",
        f"{change} {figure.points}".rstrip() if change else "",
        f"95 % interval {figure.between(after)}" if bounds else "",
    )


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and whether it does."""

    name: str
    wanted: str
    measured: str
    met: bool


@dataclass(frozen=True)
class Decision:
    """Whether to ship the uint8 file; what, besides the verdict, speaks against it."""

    ship: bool
    reasons: tuple[str, ...]


def decide(verdict: Verdict, checks: Sequence[Check], doubts: Sequence[str]) -> Decision:
    """Return "ship" only if accuracy is kept, every check is met, and nothing is in doubt.

    Args:
        verdict: on accuracy.
        checks: what must hold.
        doubts: further reasons to look closer, e.g. figures that may be of earlier files.
    """
    reasons = [
        f"{check.name}: {check.measured}, wanted {check.wanted}."
        for check in checks
        if not check.met
    ]
    reasons += doubts
    return Decision(verdict.tone == "good" and not reasons, tuple(reasons))


FLOATS = ("float_keras", "float_tflite")
"""The float model that the others are compared with: the first that was measured."""


def size_and_speed(metrics: Metrics[Any], after: Variant) -> list[Tile]:
    """Return the tiles of file size and latency, as far as they were measured."""
    speed = _speed(metrics)
    return [_size(metrics, after), speed] if speed else [_size(metrics, after)]


def _size(metrics: Metrics[Any], after: Variant) -> Tile:
    before = metrics.variant("float_tflite")
    if before is None:
        return Tile("file size", "", f"{megabytes(after.bytes)} MB", "")
    smaller = f"{times(before.bytes / after.bytes)} smaller"
    return Tile(
        "file size", f"{megabytes(before.bytes)} MB", f"{megabytes(after.bytes)} MB", smaller
    )


def _speed(metrics: Metrics[Any]) -> Tile | None:
    """Compare in one setting: XNNPACK on one thread where it was measured."""
    rows = {(row.variant, row.kernels, row.threads): row for row in metrics.latency}
    ours = [row for row in metrics.latency if row.variant == "uint8_tflite"]
    if not ours:
        return None
    after = min(ours, key=lambda row: (row.kernels != "xnnpack", row.threads))
    before = rows.get(("float_tflite", after.kernels, after.threads))
    title = f"latency, {setting(after)}"
    now = f"{plain(after.median_ms, 2)} ms"
    if before is None:
        return Tile(title, "", now, "")
    note = "measured on a busy machine" if disturbed(before) or disturbed(after) else ""
    return Tile(title, f"{plain(before.median_ms, 2)} ms", now, faster(before, after), note)


def disturbed(row: Latency) -> bool:
    """Tell whether so many runs were slowed down that the median says little of the model."""
    return row.min_ms is not None and row.median_ms > DISTURBED * row.min_ms


def faster(before: Latency, after: Latency) -> str:
    """Return "1.6× faster" or "1.2× slower"."""
    ratio = before.median_ms / after.median_ms
    return f"{times(ratio)} faster" if ratio >= 1 else f"{times(1 / ratio)} slower"


def setting(row: Latency) -> str:
    """Return "XNNPACK, 1 thread"."""
    kernels = "XNNPACK" if row.kernels == "xnnpack" else row.kernels
    return f"{kernels}, {row.threads} thread{'s' if row.threads != 1 else ''}"


def file_checks(metrics: Metrics[Any]) -> Iterator[Check]:
    """Yield what must hold of the integer file, whatever it finds."""
    if metrics.float_tensors is not None:
        count = metrics.float_tensors
        yield Check("Tensors of the file that are not integers", "none", str(count), count == 0)
    if metrics.parity is not None:
        yield from _layer_checks(metrics.parity.layers)


def _layer_checks(layers: LayerParity) -> Iterator[Check]:
    yield Check(
        "Layer by layer: integers identical, kernel rounding modelled",
        f"at least {percent(LAYERS_IDENTICAL)} %",
        f"{percent(layers.identical_exact, 3)} %",
        layers.identical_exact >= LAYERS_IDENTICAL,
    )
    yield Check(
        "Layer by layer: largest difference",
        f"at most {LAYERS_MAX_LSB} step",
        f"{layers.max_lsb} step{'s' if layers.max_lsb != 1 else ''}",
        layers.max_lsb <= LAYERS_MAX_LSB,
    )
