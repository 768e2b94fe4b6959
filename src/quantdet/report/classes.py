"""AP of each class of several models: dots, changes and precision–recall curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from quantdet.report.charts import (
    BAND,
    MARKERS,
    SERIES,
    SOFT,
    TEXT,
    Chart,
    Drawing,
    Look,
    draw_chart,
)
from quantdet.report.plots import SMALL, difference_axis, line_style
from quantdet.report.tables import Table
from quantdet.results.metrics import ClassDifference, DetectionVariant
from quantdet.results.numbers import difference, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Models = Sequence[tuple[str, DetectionVariant]]
"""Name and figures of each; at least one."""


def class_section(
    models: Models, table: Table, changes: Mapping[str, ClassDifference] | None = None
) -> dict[str, object]:
    """Return what the section shows: ``table``, and charts of the same figures.

    Args:
        models: name and figures of each; at least one.
        table: of the same.
        changes: label → difference of the last two, with its paired interval; None: not known.
    """
    two = len(models) == 2
    return {
        "names": [name for name, _ in models],
        "dots": _dots(models),
        "changes": _changes(models[0][1], models[1][1], changes or {}) if two else None,
        "table": table,
        "curves": _curves(models),
    }


def _known(model: DetectionVariant) -> Mapping[str, float]:
    """Return AP of the classes that have objects."""
    values = {label: item.ap_voc07 for label, item in model.per_class.items()}
    return {label: value for label, value in values.items() if value is not None}


def _dots(models: Models) -> Chart | None:
    """Return AP of each class as dots on a line, one shape for each model; the best class first."""
    known = [(name, _known(model)) for name, model in models]
    last = known[-1][1]
    labels = sorted(last, key=lambda label: last[label])
    if not labels:
        return None

    def paint(panel: Axes) -> None:
        for place, label in enumerate(labels):
            values = [100 * item[label] for _, item in known if label in item]
            panel.plot([min(values), max(values)], [place] * 2, color=SOFT, linewidth=1.2)
        for place, label in enumerate(labels):
            bounds = models[-1][1].per_class[label].ap_voc07_interval
            if bounds:
                panel.hlines(place, *(100 * end for end in bounds), color=BAND, linewidth=8)
        for number, (name, item) in enumerate(known):
            places = [place for place, label in enumerate(labels) if label in item]
            values = [100 * item[labels[place]] for place in places]
            panel.plot(values, places, linestyle="", label=name, alpha=0.9, **_dot(number))
        _class_axis(panel, labels)
        panel.set_xlim(-2, 102)
        panel.set_xlabel(f"VOC07 AP, %{_band(models[-1])}")
        panel.figure.legend(loc="outside upper left", ncols=min(len(known), 3))

    best, worst = labels[-1], labels[0]
    text = f"best {best} {percent(last[best])} %, worst {worst} {percent(last[worst])} %"
    return draw_chart(Drawing("AP of each class", text, (430, 90 + 22 * len(labels)), paint))


def _dot(number: int) -> Look:
    number %= len(SERIES)
    return {"color": SERIES[number], "marker": MARKERS[number], "markersize": 7}


def _band(model: tuple[str, DetectionVariant]) -> str:
    known = any(item.ap_voc07_interval for item in model[1].per_class.values())
    return f"; band: 95 % interval of {model[0]}" if known else ""


def _changes(
    first: DetectionVariant,
    second: DetectionVariant,
    paired: Mapping[str, ClassDifference],
) -> Chart | None:
    """Return the change of each class's AP in points, the largest loss first."""
    before, after = _known(first), _known(second)
    changes = sorted(
        (100 * (value - before[label]), label) for label, value in after.items() if label in before
    )
    if not changes:
        return None

    def paint(panel: Axes) -> None:
        values = [value for value, _ in reversed(changes)]
        labels = [label for _, label in reversed(changes)]
        ends = {place: paired[label] for place, label in enumerate(labels) if label in paired}
        reach = [100 * end for item in ends.values() for end in item.ap_voc07_interval]
        difference_axis(panel, [*values, *reach])
        panel.barh(range(len(values)), values, color=SERIES[0], height=0.62)
        for place, item in ends.items():
            low, high = item.ap_voc07_interval
            panel.hlines(place, 100 * low, 100 * high, color=TEXT, linewidth=1.4)
        _class_axis(panel, labels)
        panel.set_xlabel(f"AP, points{' (line: 95 % interval)' if ends else ''}")

    (least, loser), (most, winner) = changes[0], changes[-1]
    text = f"largest fall {loser} {difference(least)}, largest gain {winner} {difference(most)}"
    size = 360, 60 + 22 * len(changes)
    return draw_chart(Drawing("Change of each class", text, size, paint))


def _class_axis(panel: Axes, labels: Sequence[str]) -> None:
    panel.set_yticks(range(len(labels)), labels)
    panel.tick_params(axis="y", labelcolor=TEXT, length=0)
    panel.grid(axis="y", visible=False)
    panel.margins(y=0.6 / len(labels))


def _curves(models: Models) -> list[Chart]:
    """Return precision–recall curves: the mean over classes, and each class that has objects."""
    names = [name for name, _ in models]
    known = [_known(model) for _, model in models]
    labels = [
        label
        for label in known[0]
        if all(label in item for item in known)
        and all(model.per_class[label].precision for _, model in models)
    ]
    if not labels:
        return []
    curves = {
        label: [[p or 0.0 for p in model.per_class[label].precision] for _, model in models]
        for label in labels
    }
    means = [
        [sum(values) / len(labels) for values in zip(*of_model, strict=True)]
        for of_model in zip(*curves.values(), strict=True)
    ]
    whole = [model.map_voc07 for _, model in models]
    return [
        _curve_chart("mean of all classes", names, means, whole),
        *(
            _curve_chart(label, names, curves[label], [item[label] for item in known])
            for label in labels
        ),
    ]


def _curve_chart(
    title: str, names: Sequence[str], curves: Sequence[Sequence[float]], values: Sequence[float]
) -> Chart:
    def paint(panel: Axes) -> None:
        for number, curve in enumerate(curves):
            last = max(len(curve) - 1, 1)
            recall = [place / last for place in range(len(curve))]
            panel.plot(recall, curve, **line_style(number, marked=False), clip_on=False)
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1)
        panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        panel.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        panel.set_xlabel("recall")
        panel.set_ylabel("precision")

    text = ", ".join(f"{n} {percent(v)} %" for n, v in zip(names, values, strict=True))
    return draw_chart(Drawing(title, text, SMALL, paint))
