"""What quantization did to the model: one sentence, four figures, and a list of checks.

Every threshold of the report stands here, and is printed in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from quantdet.report.numbers import difference, megabytes, percent, plain, times
from quantdet.report.results import Latency, Metrics, Parity, Variant

Tone = Literal["good", "fair", "bad"]

# Largest loss from float to uint8, in points of class accuracy and of 100 × mean IoU.
KEEPS, LOSES_A_LITTLE = 0.5, 2.0
# Layer by layer, with LiteRT's two-step rounding modelled.
LAYERS_IDENTICAL, LAYERS_MAX_LSB = 0.999, 1
# End to end, every kernel set against fake-quantized Keras.
SAME_CLASS, KERNEL_SPREAD = 0.98, 0.5

_SENTENCES: dict[Tone, str] = {
    "good": "uint8 keeps the accuracy of float",
    "fair": "uint8 loses a little accuracy",
    "bad": "uint8 loses accuracy",
}


@dataclass(frozen=True)
class Verdict:
    """The headline.

    Attributes:
        tone: "good", "fair" or "bad".
        text: one sentence with the differences.
        caution: how far figures from this many pictures can be trusted.
    """

    tone: Tone
    text: str
    caution: str


@dataclass(frozen=True)
class Tile:
    """One figure of the headline, float → uint8; ``before`` is empty if not measured."""

    title: str
    before: str
    after: str
    change: str


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and whether it does."""

    name: str
    wanted: str
    measured: str
    met: bool


def floats(metrics: Metrics) -> Variant | None:
    """Return the float model that the others are compared with."""
    return metrics.variant("float_keras", "float_tflite")


def judge(metrics: Metrics) -> Verdict | None:
    """Return the headline, None unless both float and uint8 were measured."""
    before, after = floats(metrics), metrics.variant("uint8_tflite")
    if before is None or after is None:
        return None
    changes = _changes(before, after)
    tone = tone_of(min(changes))
    text = (
        f"{_SENTENCES[tone]}: class accuracy {difference(changes[0])} points, "
        f"mean IoU {difference(changes[1] / 100, 3)}"
    )
    return Verdict(tone, text, _caution(after))


def tone_of(change: float) -> Tone:
    """Return how bad a change in points is; a gain is good."""
    if change >= -KEEPS:
        return "good"
    return "fair" if change >= -LOSES_A_LITTLE else "bad"


def tiles(metrics: Metrics) -> list[Tile]:
    """Return accuracy, box, size and speed of uint8 beside float."""
    after = metrics.variant("uint8_tflite")
    if after is None:
        return []
    before = floats(metrics)
    points = _changes(before, after) if before else (0.0, 0.0)
    shown = [
        Tile(
            "right class",
            f"{percent(before.class_accuracy)} %" if before else "",
            f"{percent(after.class_accuracy)} %",
            f"{difference(points[0])} points" if before else "",
        ),
        Tile(
            "mean IoU of the box",
            plain(before.mean_iou, 3) if before else "",
            plain(after.mean_iou, 3),
            difference(points[1] / 100, 3) if before else "",
        ),
        _size(metrics, after),
    ]
    speed = _speed(metrics)
    return [*shown, speed] if speed else shown


def checks(metrics: Metrics) -> list[Check]:
    """Return what must hold before a model is shipped, as far as it was measured."""
    found = list(_accuracy_checks(metrics))
    return found + list(_parity_checks(metrics.parity)) if metrics.parity else found


def _changes(before: Variant, after: Variant) -> tuple[float, float]:
    """Return (class accuracy, mean IoU) in points, rounded as they are printed."""
    return (
        round(100 * (after.class_accuracy - before.class_accuracy), 2),
        round(100 * (after.mean_iou - before.mean_iou), 2),
    )


def _caution(row: Variant) -> str:
    return (
        f"Measured on {row.pictures:,} pictures: one picture is "
        f"{plain(100 / row.pictures, 2)} points, and another draw of as many pictures could move a "
        f"class accuracy by ± {plain(100 * half_interval(row.class_accuracy, row.pictures), 1)} "
        "points (95 %). Float and uint8 saw the same pictures, so their difference is firmer than "
        "that."
    )


def half_interval(share: float, count: int) -> float:
    """Return half the 95 % interval of a share of ``count`` pictures (Wilson 1927)."""
    z = 1.96
    spread = math.sqrt(max(share * (1 - share), 0.0) / count + (z / (2 * count)) ** 2)
    return z * spread / (1 + z * z / count)


def _size(metrics: Metrics, after: Variant) -> Tile:
    before = metrics.variant("float_tflite")
    if before is None:
        return Tile("file size", "", f"{megabytes(after.bytes)} MB", "")
    smaller = f"{times(before.bytes / after.bytes)} smaller"
    return Tile(
        "file size", f"{megabytes(before.bytes)} MB", f"{megabytes(after.bytes)} MB", smaller
    )


def _speed(metrics: Metrics) -> Tile | None:
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
    return Tile(title, f"{plain(before.median_ms, 2)} ms", now, faster(before, after))


def faster(before: Latency, after: Latency) -> str:
    """Return "1.6× faster" or "1.2× slower"."""
    ratio = before.median_ms / after.median_ms
    return f"{times(ratio)} faster" if ratio >= 1 else f"{times(1 / ratio)} slower"


def setting(row: Latency) -> str:
    """Return "XNNPACK, 1 thread"."""
    kernels = "XNNPACK" if row.kernels == "xnnpack" else row.kernels
    return f"{kernels}, {row.threads} thread{'s' if row.threads != 1 else ''}"


def _accuracy_checks(metrics: Metrics) -> Iterator[Check]:
    before, after = floats(metrics), metrics.variant("uint8_tflite")
    if after is None:
        return
    if before is not None:
        names = ("Class accuracy, float → uint8", "Mean IoU × 100, float → uint8")
        for name, change in zip(names, _changes(before, after), strict=True):
            measured = f"{difference(change)} points"
            yield Check(name, f"falls by at most {KEEPS} points", measured, change >= -KEEPS)
    if after.ordered_share is not None:
        yield Check(
            "Boxes with left ≤ right and top ≤ bottom",
            "100 %",
            f"{percent(after.ordered_share)} %",
            after.ordered_share >= 1,
        )


def _parity_checks(parity: Parity) -> Iterator[Check]:
    layers = parity.layers
    yield Check(
        "Layer by layer: integers identical, two-step rounding modelled",
        f"at least {percent(LAYERS_IDENTICAL)} %",
        f"{percent(layers.identical_two_step, 3)} %",
        layers.identical_two_step >= LAYERS_IDENTICAL,
    )
    yield Check(
        "Layer by layer: largest difference",
        f"at most {LAYERS_MAX_LSB} step",
        f"{layers.max_lsb} step{'s' if layers.max_lsb != 1 else ''}",
        layers.max_lsb <= LAYERS_MAX_LSB,
    )
    rows = parity.end_to_end.kernels
    if not rows:
        return
    pictures = parity.end_to_end.pictures
    worst = min(rows, key=lambda row: row.same_class)
    yield Check(
        "End to end: same class as training simulated, every kernel set",
        f"at least {percent(SAME_CLASS, 0)} % of pictures",
        f"{percent(worst.same_class)} % ({worst.kernels}, {pictures} pictures)",
        worst.same_class >= SAME_CLASS,
    )
    accuracies = [row.class_accuracy for row in rows if row.class_accuracy is not None]
    if len(accuracies) > 1:
        spread = round(100 * (max(accuracies) - min(accuracies)), 2)
        yield Check(
            "End to end: class accuracy of best and worst kernel set",
            f"at most {KERNEL_SPREAD} points apart",
            f"{plain(spread, 2)} points ({pictures} pictures)",
            spread <= KERNEL_SPREAD,
        )
