"""What a run's verdict is made of: one sentence, four figures, and a list of checks.

What is the same for every kind of model stands here; the rest in one file a kind, see ``views``.
Every threshold of the report stands in these files, and is printed in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from quantdet.results.figures import Figure
from quantdet.results.metrics import AnyMetrics, Latency, LayerParity, Variant
from quantdet.results.numbers import megabytes, percent, plain, times
from quantdet.results.part import Bounds

Tone = Literal["good", "fair", "bad"]
TONES: tuple[Tone, ...] = ("bad", "fair", "good")
"""The worst first."""
NOT_MEASURED = "not measured"
EVALUATE_AGAIN = "Measure what is missing: `quantdet evaluate`."
REPORT_DEFECT = "The file is not what was trained: export it again, or report a defect."

# Layer by layer, with LiteRT's kernel rounding modelled.
LAYERS_IDENTICAL, LAYERS_MAX_LSB = 0.999, 1
# Points that the accuracy may have fallen by at worst: the lower end of its 95 % interval.
TELLS = 2.0
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
class Change:
    """A figure of uint8 minus that of float, with its 95 % interval on the same pictures."""

    figure: Figure
    value: float
    bounds: Bounds | None

    def text(self) -> str:
        """Return the change with its interval."""
        unit = f" {self.figure.points}".rstrip()
        between = "not known" if self.bounds is None else self.figure.changes(self.bounds)
        return f"{self.figure.change(self.value)}{unit} (95 % interval {between})"


_SENTENCES: Mapping[Tone, str] = {
    "good": "uint8 keeps the accuracy of float",
    "fair": "uint8 may lose accuracy, these pictures cannot tell",
    "bad": "uint8 loses accuracy",
}


def tone_of(change: Change, keeps: float) -> Tone:
    """Return how bad a change is.

    Args:
        change: of a figure from 0 to 1.
        keeps: points that it may fall by.

    Returns:
        "good": it falls by no more, and not by more than :data:`TELLS` within its interval;
        "bad": it falls by more, and the interval is below 0; "fair": neither can be told.
    """
    if change.bounds is None:
        return "fair"
    # Rounded as they are printed: 0.3 of 100 are no binary fractions.
    points, low, high = (round(100 * value, 2) for value in (change.value, *change.bounds))
    if points >= -keeps:
        return "good" if low >= -TELLS else "fair"
    return "fair" if high >= 0 else "bad"


def worst_tone(changes: Sequence[Change], keeps: float) -> Tone:
    """Return the tone of the worst change."""
    return min((tone_of(change, keeps) for change in changes), key=TONES.index)


def accuracy_verdict(changes: Sequence[Change], keeps: float, caution: str) -> Verdict:
    """Return the headline: what quantization does to the accuracy."""
    tone = worst_tone(changes, keeps)
    shown = ", ".join(f"{change.figure.title} {change.text()}" for change in changes)
    names = " and ".join(change.figure.title for change in changes)
    rule = (
        f"“Keeps”: {names} fall{'s' if len(changes) == 1 else ''} by at most {keeps} points, and "
        f"the 95 % interval of the difference on the same pictures excludes more than {TELLS:g}. "
        "“Loses”: more, and the interval excludes 0."
    )
    return Verdict(tone, f"{_SENTENCES[tone]}: {shown}", rule, caution)


def accuracy_checks(changes: Sequence[Change], keeps: float) -> Iterator[Check]:
    """Yield what must hold of each change."""
    for change in changes:
        yield Check(
            f"{change.figure.title}, float → uint8",
            f"falls by at most {keeps} points; interval excludes more than {TELLS:g}",
            change.text(),
            tone_of(change, keeps) == "good",
            "Compare recipes or train longer (docs/quantization.md), or test on more pictures.",
        )


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
    """One thing that must hold, and whether it does.

    Attributes:
        name: what it is about.
        wanted: what must hold.
        measured: what was found.
        met: whether it holds; of nothing, nothing holds.
        remedy: what to do if it does not.
    """

    name: str
    wanted: str
    measured: str
    met: bool
    remedy: str = ""


@dataclass(frozen=True)
class Decision:
    """Whether to ship the uint8 file; what, besides the verdict, speaks against it."""

    ship: bool
    reasons: tuple[str, ...]
    remedies: tuple[str, ...] = ()


def decide(verdict: Verdict, checks: Sequence[Check], doubts: Sequence[str]) -> Decision:
    """Return "ship" only if accuracy is kept, every check is met, and nothing is in doubt.

    Without any check nothing is known, so there is no "ship".

    Args:
        verdict: on accuracy.
        checks: what must hold.
        doubts: further reasons to look closer, e.g. figures that may be of earlier files.
    """
    failed = [check for check in checks if not check.met]
    reasons = [f"{check.name}: {check.measured}; wanted: {check.wanted}." for check in failed]
    reasons += doubts
    remedies = dict.fromkeys(check.remedy for check in failed if check.remedy)
    ship = verdict.tone == "good" and bool(checks) and not reasons
    return Decision(ship, tuple(reasons), tuple(remedies))


FLOATS = ("float_keras", "float_tflite")
"""The float model that the others are compared with: the first that was measured."""


def size_and_speed(metrics: AnyMetrics, after: Variant) -> list[Tile]:
    """Return the tiles of file size and latency, as far as they were measured."""
    speed = _speed(metrics)
    return [_size(metrics, after), speed] if speed else [_size(metrics, after)]


def _size(metrics: AnyMetrics, after: Variant) -> Tile:
    before = metrics.variant("float_tflite")
    if before is None:
        return Tile("file size", "", f"{megabytes(after.bytes)} MB", "")
    smaller = f"{times(before.bytes / after.bytes)} smaller"
    return Tile(
        "file size", f"{megabytes(before.bytes)} MB", f"{megabytes(after.bytes)} MB", smaller
    )


def _speed(metrics: AnyMetrics) -> Tile | None:
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


def file_checks(metrics: AnyMetrics) -> Iterator[Check]:
    """Yield what must hold of the integer file, whatever it finds."""
    count = metrics.float_tensors
    yield Check(
        "Tensors of the file that are not integers",
        "none",
        plain(count, 0) if count is not None else NOT_MEASURED,
        count == 0,
        EVALUATE_AGAIN if count is None else REPORT_DEFECT,
    )
    yield from _layer_checks(metrics.parity.layers if metrics.parity else None)


def _layer_checks(layers: LayerParity | None) -> Iterator[Check]:
    steps = "" if layers is None else f"{layers.max_lsb} step{'s' if layers.max_lsb != 1 else ''}"
    remedy = EVALUATE_AGAIN if layers is None else REPORT_DEFECT
    yield Check(
        "Layer by layer: integers identical, kernel rounding modelled",
        f"at least {percent(LAYERS_IDENTICAL)} %",
        f"{percent(layers.identical_exact, 3)} %" if layers else NOT_MEASURED,
        layers is not None and layers.values > 0 and layers.identical_exact >= LAYERS_IDENTICAL,
        remedy,
    )
    yield Check(
        "Layer by layer: largest difference",
        f"at most {LAYERS_MAX_LSB} step",
        steps or NOT_MEASURED,
        layers is not None and layers.max_lsb <= LAYERS_MAX_LSB,
        remedy,
    )
