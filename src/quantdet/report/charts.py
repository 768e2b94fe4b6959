"""Charts as SVG inside the page: drawn by matplotlib, coloured by the page's own style.

Drawings have the colours of the page in its light scheme. In the SVG these become CSS variables, so
that one drawing fits light and dark. Text stays text: it takes the font of the page and can be
searched and copied.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, TypedDict

from quantdet.system.atomic import atomic_stream

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# As in report.css.
TEXT, SOFT, GRID, HURTS, BAND = "#1b2330", "#566173", "#d8dee8", "#b3261e", "#c3d8f5"
SERIES = ("#0067a5", "#c04e00", "#007a59", "#9c4a80", "#6b6b00", "#4f46c8")
"""Colours of lines, told apart by colour-blind people; ``STYLES`` goes with them."""
STYLES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (8, 3)), (0, (3, 1, 1, 1)))
MARKERS = ("o", "D", "s", "^", "v", "P")

VARIABLES = {
    TEXT: "fg",
    SOFT: "soft",
    GRID: "line",
    HURTS: "bad",
    BAND: "bar",
    **{color: f"s{number}" for number, color in enumerate(SERIES, start=1)},
}
"""Colour → its variable in report.css."""
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a class may be called "$x"
    "text.color": TEXT,
    "font.size": 11,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titlecolor": TEXT,
    "grid.color": GRID,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 11,
    "lines.linewidth": 1.9,
}
# Inner names of a drawing are found in the whole page: no two drawings have the same.
_NUMBERS = itertools.count()
# Matplotlib's unit is the point, 72 to an inch; in the page one point is one pixel.
_PER_INCH = 72


class Look(TypedDict, total=False):
    """Arguments of matplotlib's ``plot``."""

    color: str
    linestyle: str | tuple[float, tuple[float, ...]]
    marker: str
    markersize: float
    markeredgewidth: float


@dataclass(frozen=True)
class Drawing:
    """What to draw.

    Attributes:
        title: what stands above it.
        text: what it shows, in words.
        size: width and height in pixels, at which its letters have the size of small print.
        paint: gets the matplotlib panel.
    """

    title: str
    text: str
    size: tuple[int, int]
    paint: Callable[[Axes], None]


@dataclass(frozen=True)
class Chart:
    """A drawing as an element of a page.

    Attributes:
        svg: safe to be put into a page as it is.
        title: see ``Drawing``.
        text: see ``Drawing``.
        width: see ``Drawing``.
    """

    svg: str
    title: str
    text: str
    width: int


def draw_chart(drawing: Drawing) -> Chart:
    """Return a drawing for the page."""
    content = io.StringIO()
    _save(drawing, content, format="svg", metadata={"Date": None})
    svg = _inline(content.getvalue(), drawing.size)
    return Chart(svg, drawing.title, drawing.text, drawing.size[0])


def save_picture(drawing: Drawing, path: Path) -> None:
    """Write a drawing as a PNG, twice as fine as a screen shows it."""
    with atomic_stream(path) as stream:
        _save(drawing, stream, format="png", dpi=2 * _PER_INCH, facecolor="white")


def _save(drawing: Drawing, target: TextIO | BinaryIO, **options: Any) -> None:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS | {"svg.hashsalt": f"chart {next(_NUMBERS)}"}):
        width, height = drawing.size
        figure = Figure(figsize=(width / _PER_INCH, height / _PER_INCH), layout="constrained")
        FigureCanvasAgg(figure)
        drawing.paint(figure.subplots())
        with warnings.catch_warnings():
            # In a page, letters that matplotlib's own font lacks are drawn by the browser's.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(target, **options)


def _inline(svg: str, size: tuple[int, int]) -> str:
    """Return matplotlib's file as an element that takes the page's style."""
    body = svg[svg.index("<svg") :]
    body = body[body.index(">") + 1 : body.rindex("</svg>")]
    for part in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<!--.*?-->"):
        body = re.sub(part, "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*"', "", body)
    body = re.sub(r"\s*\n\s*", " ", body)
    # Only in styles: a class may be called like one of the colours.
    body = re.sub(r'style="[^"]*"', lambda found: _with_variables(found[0]), body)
    return f'<svg viewBox="0 0 {size[0]} {size[1]}" aria-hidden="true">{body}</svg>'


def _with_variables(style: str) -> str:
    for color, variable in VARIABLES.items():
        style = style.replace(color, f"var(--{variable})")
    return style
