"""Training curves as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantdet.system.atomic import atomic_stream
from quantdet.train.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRAIN = "#1f5fa8"
_VALIDATION = "#d1582a"
_NOT_CURVES = ("epoch", "seconds", "learning_rate")


def draw_curves(history: History, path: Path) -> None:
    """Write one panel per loss and metric: training, validation, best epoch marked."""
    if not history.rows:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [
        name for name in history.rows[0] if name not in _NOT_CURVES and not name.startswith("val_")
    ]
    names.sort(key=lambda name: (name != "loss", name))
    columns = 2 if len(names) == 4 else min(len(names), 3)  # four in a square, no gap
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        _draw_panel(panel, history, name)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    with atomic_stream(path) as stream:
        figure.savefig(stream, format="png", dpi=130)


def _draw_panel(panel: Axes, history: History, name: str) -> None:
    epochs = [row["epoch"] for row in history.rows]
    marker = "o" if len(epochs) <= 40 else ""
    style: dict[str, Any] = {"linewidth": 1.8, "marker": marker, "markersize": 3.5}
    panel.plot(epochs, [row[name] for row in history.rows], color=_TRAIN, label="training", **style)
    held_out = f"val_{name}"
    if held_out in history.rows[0]:
        values = [row[held_out] for row in history.rows]
        panel.plot(epochs, values, color=_VALIDATION, label="validation", **style)
    best = history.best_epoch
    panel.axvline(
        best, color="0.45", linestyle="--", linewidth=1, label=f"best epoch ({best})", zorder=0
    )
    panel.set_title(_readable(name), loc="left", fontsize=11)
    panel.set_xlabel("epoch")
    panel.set_ylabel("value" if "loss" not in name else "loss")
    panel.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    panel.grid(color="0.9", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _readable(name: str) -> str:
    """boxes_loss → boxes loss, scores_sparse_categorical_accuracy → scores accuracy."""
    return name.replace("sparse_categorical_", "").replace("_", " ")
