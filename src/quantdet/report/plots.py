"""Charts of accuracy, training and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantdet.report.charts import MARKERS, SERIES, SOFT, STYLES, TEXT, Chart, draw_chart
from quantdet.report.metrics import ClassFigures
from quantdet.report.numbers import difference, percent, plain
from quantdet.report.side_files import DataFacts, Epochs

PerClass = Mapping[str, ClassFigures]
_NOT_CURVES = ("epoch", "seconds", "learning_rate")
_SMALL = (250, 200)
# So few epochs are marked one by one.
_FEW_EPOCHS = 40


def learning_curves(epochs: Epochs) -> list[Chart]:
    """Return a chart for each loss and metric: training, validation, the epoch that was kept."""
    names = [
        name for name in epochs.rows[0] if name not in _NOT_CURVES and not name.startswith("val_")
    ]
    names.sort(key=lambda name: (name != "loss", name))
    return [_learning_curve(epochs, name) for name in names]


def _learning_curve(epochs: Epochs, name: str) -> Chart:
    title = name.replace("sparse_categorical_", "").replace("_", " ")
    lines = [("validation", f"val_{name}", 0), ("training", name, 1)]
    shown = [(word, [row.get(key) for row in epochs.rows], style) for word, key, style in lines]
    shown = [item for item in shown if None not in item[1]]

    def paint(panel: Any) -> None:
        numbers = [int(row.get("epoch", place)) for place, row in enumerate(epochs.rows, start=1)]
        marked = len(numbers) <= _FEW_EPOCHS
        for _, values, style in shown:
            mark = {"marker": MARKERS[style], "markersize": 3.5} if marked else {}
            panel.plot(numbers, values, color=SERIES[style], linestyle=STYLES[style], **mark)
        panel.axvline(epochs.best_epoch, color=SOFT, linestyle=":", linewidth=1.2, zorder=0)
        _epoch_axis(panel, len(numbers))

    text = "; ".join(f"{word} {_from_to(values)}" for word, values, _ in shown)
    return draw_chart(title, text, _SMALL, paint)


def _epoch_axis(panel: Any, epochs: int) -> None:
    panel.set_xlabel("epoch")
    panel.set_xlim(1 - 0.02 * epochs, epochs + 0.02 * epochs)
    panel.xaxis.get_major_locator().set_params(integer=True, nbins=6, min_n_ticks=1)


def _from_to(values: Sequence[Any]) -> str:
    if len(values) == 1:
        return plain(values[0], 4)
    return f"{plain(values[0], 4)} → {plain(values[-1], 4)}"


def overlaid_losses(title: str, runs: Sequence[tuple[str, Epochs | None]]) -> Chart:
    """Return the validation losses of a phase of several runs; training losses without those.

    A run without the phase, None, keeps its colour free.
    """
    lines = [
        (name, [row.get("val_loss", row.get("loss", float("nan"))) for row in epochs.rows])
        if epochs
        else (name, [])
        for name, epochs in runs
    ]

    def paint(panel: Any) -> None:
        for number, (_, values) in enumerate(lines):
            panel.plot(range(1, len(values) + 1), values, **_style(number))
        panel.set_ylabel("validation loss")
        _epoch_axis(panel, max(len(values) for _, values in lines))

    text = "; ".join(f"{name} {_from_to(values)}" for name, values in lines if values)
    return draw_chart(title, text, _SMALL, paint)


def precision_recall(models: Sequence[tuple[str, PerClass]], means: Sequence[float]) -> list[Chart]:
    """Return the curves of the mean over classes, and of each class that has objects.

    Args:
        models: name and figures of each class.
        means: mean AP of each model, 0 to 1.
    """
    labels = [
        label
        for label, figures in models[0][1].items()
        if all(
            label in item and item[label].precision and item[label].ap_voc07 is not None
            for _, item in models
        )
        and figures.precision
    ]
    if not labels:
        return []
    curves = [[_precision(item[label]) for label in labels] for _, item in models]
    mean = [[sum(v) / len(v) for v in zip(*curve, strict=True)] for curve in curves]
    names = [name for name, _ in models]
    charts = [_curve_chart("mean of all classes", names, mean, means)]
    for place, label in enumerate(labels):
        values = [item[label].ap_voc07 for _, item in models]
        charts.append(_curve_chart(label, names, [curve[place] for curve in curves], values))
    return charts


def _precision(figures: ClassFigures) -> list[float]:
    return [value or 0.0 for value in figures.precision]


def _curve_chart(
    title: str,
    names: Sequence[str],
    curves: Sequence[Sequence[float]],
    values: Sequence[float | None],
) -> Chart:
    def paint(panel: Any) -> None:
        for number, curve in enumerate(curves):
            last = max(len(curve) - 1, 1)
            recall = [place / last for place in range(len(curve))]
            panel.plot(recall, curve, **_style(number, marked=False), clip_on=False)
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1)
        panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        panel.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        panel.set_xlabel("recall")
        panel.set_ylabel("precision")

    pairs = zip(names, values, strict=True)
    return draw_chart(title, ", ".join(f"{n} {percent(v)} %" for n, v in pairs), _SMALL, paint)


def class_dots(models: Sequence[tuple[str, PerClass]]) -> Chart | None:
    """Return AP of each class as dots on a line, one shape for each model; the best class first."""
    last = models[-1][1]
    known = {label: item.ap_voc07 for label, item in last.items() if item.ap_voc07 is not None}
    labels = sorted(known, key=lambda label: known[label])
    if not labels:
        return None

    def paint(panel: Any) -> None:
        for place, label in enumerate(labels):
            values = [
                100 * value
                for _, item in models
                if label in item and (value := item[label].ap_voc07) is not None
            ]
            panel.plot([min(values), max(values)], [place] * 2, color=SOFT, linewidth=1.2)
        for number, (name, item) in enumerate(models):
            shown = [
                (100 * value, place)
                for place, label in enumerate(labels)
                if label in item and (value := item[label].ap_voc07) is not None
            ]
            if shown:
                panel.plot(*zip(*shown, strict=True), **_dot(number), label=name)
        panel.set_yticks(range(len(labels)), labels)
        panel.tick_params(axis="y", labelcolor=TEXT, length=0)
        panel.grid(axis="y", visible=False)
        panel.set_xlabel("VOC07 AP, %")
        panel.margins(y=0.6 / len(labels))
        panel.figure.legend(loc="outside upper left", ncols=min(len(models), 3))

    best, worst = labels[-1], labels[0]
    text = f"best {best} {percent(known[best])} %, worst {worst} {percent(known[worst])} %"
    return draw_chart("AP of each class", text, (430, 90 + 22 * len(labels)), paint)


def class_changes(before: PerClass, after: PerClass) -> Chart | None:
    """Return the change of each class's AP in points, the largest loss first."""
    changes = sorted(
        (100 * (new - old), label)
        for label, item in after.items()
        if (new := item.ap_voc07) is not None
        and label in before
        and (old := before[label].ap_voc07) is not None
    )
    if not changes:
        return None

    def paint(panel: Any) -> None:
        places = range(len(changes))[::-1]
        values = [value for value, _ in changes]
        panel.barh(places, values, color=SERIES[0], height=0.62)
        panel.axvline(0, color=SOFT, linewidth=1)
        panel.set_yticks(places, [label for _, label in changes])
        panel.tick_params(axis="y", labelcolor=TEXT, length=0)
        panel.grid(axis="y", visible=False)
        panel.set_xlabel("change of VOC07 AP, points")
        panel.margins(y=0.6 / len(changes))

    (least, loser), (most, winner) = changes[0], changes[-1]
    text = f"largest fall {loser} {difference(least)}, largest gain {winner} {difference(most)}"
    return draw_chart("Change of each class", text, (360, 60 + 22 * len(changes)), paint)


def box_sizes(data: DataFacts, input_size: int) -> Chart | None:
    """Return how large boxes are, as the model sees them, for each split."""
    splits = [(name, item) for name, item in data.splits.items() if sum(item.sides)]
    if not splits:
        return None

    def paint(panel: Any) -> None:
        for number, (name, item) in enumerate(splits):
            bins, total = len(item.sides), sum(item.sides)
            middles = [(place + 0.5) * input_size / bins for place in range(bins)]
            shares = [100 * count / total for count in item.sides]
            panel.plot(middles, shares, **_style(number), label=name)
        panel.set_xlabel("side of the box in the model's input, pixels")
        panel.set_ylabel("objects, %")
        panel.set_ylim(bottom=0)
        panel.legend()

    text = "; ".join(
        f"{name}: median {plain((item.median_side or 0) * input_size, 0)} pixels"
        for name, item in splits
    )
    return draw_chart("Box sizes", text, (430, 240), paint)


def _style(number: int, *, marked: bool = True) -> dict[str, Any]:
    number %= len(SERIES)
    mark = {"marker": MARKERS[number], "markersize": 4} if marked else {}
    return {"color": SERIES[number], "linestyle": STYLES[number], **mark}


def _dot(number: int) -> dict[str, Any]:
    number %= len(SERIES)
    return {
        "color": SERIES[number],
        "marker": MARKERS[number],
        "markersize": 7,
        "linestyle": "",
        "alpha": 0.9,
    }
