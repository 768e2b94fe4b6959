"""Charts of training and data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quantdet.report.charts import (
    MARKERS,
    SERIES,
    SOFT,
    STYLES,
    TEXT,
    Chart,
    Drawing,
    Look,
    draw_chart,
)
from quantdet.report.verdict import Change
from quantdet.results.data import DataFacts
from quantdet.results.history import Epochs
from quantdet.results.numbers import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOT_CURVES = ("epoch", "seconds", "learning_rate")
SMALL = (250, 200)
"""Size of charts that stand beside each other."""
# Two points are no curve.
LEAST_EPOCHS = 3
# So few epochs are marked one by one.
_FEW_EPOCHS = 40
# Points that a chart of differences shows at least to either side: noise must not look large.
LEAST_POINTS = 5.0


def learning_curves(epochs: Epochs) -> list[Chart]:
    """Return a chart for each loss and metric: training, validation, the epoch that was kept.

    None of fewer than :data:`LEAST_EPOCHS`.
    """
    if len(epochs.rows) < LEAST_EPOCHS:
        return []
    names = [
        name for name in epochs.rows[0] if name not in _NOT_CURVES and not name.startswith("val_")
    ]
    names.sort(key=lambda name: (name != "loss", name))
    return [_learning_curve(epochs, name) for name in names]


def _learning_curve(epochs: Epochs, name: str) -> Chart:
    title = name.replace("sparse_categorical_", "").replace("_", " ")
    lines = [("validation", f"val_{name}", 0), ("training", name, 1)]
    shown = [
        (word, [row[key] for row in epochs.rows], style)
        for word, key, style in lines
        if all(key in row for row in epochs.rows)
    ]

    def paint(panel: Axes) -> None:
        numbers = [int(row.get("epoch", place)) for place, row in enumerate(epochs.rows, start=1)]
        marked = len(numbers) <= _FEW_EPOCHS
        for _, values, style in shown:
            mark: Look = {"marker": MARKERS[style], "markersize": 3.5} if marked else {}
            panel.plot(numbers, values, color=SERIES[style], linestyle=STYLES[style], **mark)
        panel.axvline(epochs.best_epoch, color=SOFT, linestyle=":", linewidth=1.2, zorder=0)
        _epoch_axis(panel, len(numbers))

    text = "; ".join(f"{word} {_from_to(values)}" for word, values, _ in shown)
    return draw_chart(Drawing(title, text, SMALL, paint))


def _epoch_axis(panel: Axes, epochs: int) -> None:
    panel.set_xlabel("epoch")
    panel.set_xlim(1 - 0.02 * epochs, epochs + 0.02 * epochs)
    panel.xaxis.get_major_locator().set_params(  # type: ignore[call-arg]
        integer=True, nbins=6, min_n_ticks=1
    )


def _from_to(values: Sequence[float]) -> str:
    if len(values) == 1:
        return plain(values[0], 4)
    return f"{plain(values[0], 4)} → {plain(values[-1], 4)}"


def overlaid_losses(title: str, runs: Sequence[tuple[str, Epochs | None]]) -> Chart | None:
    """Return the validation losses of a phase of several runs; training losses without those.

    A run without the phase, None, keeps its colour free. None where all are too short for a line.
    """
    if max(len(epochs.rows) if epochs else 0 for _, epochs in runs) < LEAST_EPOCHS:
        return None
    lines = [
        (name, [row.get("val_loss", row.get("loss", float("nan"))) for row in epochs.rows])
        if epochs
        else (name, [])
        for name, epochs in runs
    ]

    def paint(panel: Axes) -> None:
        for number, (_, values) in enumerate(lines):
            panel.plot(range(1, len(values) + 1), values, **line_style(number))
        panel.set_ylabel("validation loss")
        _epoch_axis(panel, max(len(values) for _, values in lines))

    text = "; ".join(f"{name} {_from_to(values)}" for name, values in lines if values)
    return draw_chart(Drawing(title, text, SMALL, paint))


def difference_axis(panel: Axes, ends: Sequence[float]) -> None:
    """Scale the x axis of differences in points: 0 in the middle, and not too small a range."""
    most = max(LEAST_POINTS, 1.08 * max(map(abs, ends), default=0.0))
    panel.set_xlim(-most, most)
    panel.axvline(0, color=SOFT, linewidth=1)


def difference_chart(changes: Sequence[tuple[str, Change]], keeps: float) -> Chart | None:
    """Return differences with their intervals on one scale, those that "keep" shaded.

    Args:
        changes: name of a model → its difference; all of one figure.
        keeps: points that it may fall by.
    """
    known = [(name, item) for name, item in changes if item.bounds is not None]
    if not known:
        return None
    figure = known[0][1].figure

    def paint(panel: Axes) -> None:
        ends = [100 * end for _, item in known for end in (*(item.bounds or ()), item.value)]
        difference_axis(panel, ends)
        panel.axvspan(-keeps, keeps, color=SERIES[2], alpha=0.15, linewidth=0)
        for place, (_, item) in enumerate(known):
            low, high = (100 * end for end in item.bounds or ())
            panel.hlines(place, low, high, color=SERIES[0], linewidth=2.4)
            panel.plot(100 * item.value, place, marker="o", color=SERIES[0], markersize=7)
        panel.set_yticks(range(len(known)), [name for name, _ in known])
        panel.set_ylim(len(known) - 0.5, -0.5)
        panel.tick_params(axis="y", labelcolor=TEXT, length=0)
        hundred = "" if figure.unit else "100 × "
        panel.set_xlabel(f"change of {hundred}{figure.title} against float, points")

    text = "; ".join(f"{name} {item.text()}" for name, item in known)
    size = 430, 66 + 30 * len(known)
    return draw_chart(Drawing(f"{figure.title}: dot and 95 % interval", text, size, paint))


def box_sizes(data: DataFacts, input_size: int) -> Chart | None:
    """Return how large boxes are, as the model sees them, for each split."""
    splits = [(name, item) for name, item in data.splits.items() if sum(item.sides)]
    if not splits:
        return None

    def paint(panel: Axes) -> None:
        for number, (name, item) in enumerate(splits):
            bins, total = len(item.sides), sum(item.sides)
            middles = [(place + 0.5) * input_size / bins for place in range(bins)]
            shares = [100 * count / total for count in item.sides]
            panel.plot(middles, shares, **line_style(number), label=name)
        panel.set_xlabel("side of the box in the model's input, pixels")
        panel.set_ylabel("objects, %")
        panel.set_ylim(bottom=0)
        panel.legend()

    text = "; ".join(
        f"{name}: median {plain((item.median_side or 0) * input_size, 0)} pixels"
        for name, item in splits
    )
    return draw_chart(Drawing("Box sizes", text, (430, 240), paint))


def line_style(number: int, *, marked: bool = True) -> Look:
    """Return colour, dashes and marker of a line: the same number, the same model everywhere."""
    number %= len(SERIES)
    mark: Look = {"marker": MARKERS[number], "markersize": 4} if marked else {}
    return {"color": SERIES[number], "linestyle": STYLES[number], **mark}
