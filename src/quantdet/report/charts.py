"""Charts as SVG inside the page: drawn by matplotlib, coloured by the page's own style.

Matplotlib gets stand-in colours, which become CSS variables in the SVG, so that one drawing fits
light and dark. Text stays text: it takes the font of the page and can be searched and copied.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TEXT, SOFT, GRID, PAPER = "#0b0001", "#0b0002", "#0b0003", "#0b0004"
HURTS = "#0b0005"
SERIES = ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006")
"""Colours of lines, told apart by colour-blind people; ``STYLES`` goes with them."""
STYLES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (8, 3)), (0, (3, 1, 1, 1)))
MARKERS = ("o", "D", "s", "^", "v", "P")

_VARIABLES = {
    TEXT: "var(--fg)",
    SOFT: "var(--soft)",
    GRID: "var(--line)",
    PAPER: "var(--bg)",
    HURTS: "var(--bad)",
    **{color: f"var(--s{number})" for number, color in enumerate(SERIES, start=1)},
}
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


@dataclass(frozen=True)
class Chart:
    """A drawing.

    Attributes:
        svg: the element, safe to be put into a page as it is.
        title: what stands above it, "" where the drawing says it.
        text: what it shows, in words.
        width: in pixels, at which its letters have the size of small print.
    """

    svg: str
    title: str
    text: str
    width: int


def draw_chart(
    title: str,
    text: str,
    size: tuple[int, int],
    paint: Callable[[Any], None],
    panels: tuple[int, ...] = (),
) -> Chart:
    """Return what ``paint`` draws.

    Args:
        title: what stands above it.
        text: what it shows, in words.
        size: width and height in pixels.
        paint: gets the matplotlib panel; with ``panels``, the list of them.
        panels: heights of several panels below each other, on one x axis.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS | {"svg.hashsalt": f"chart {next(_NUMBERS)}"}):
        width, height = size
        figure = Figure(figsize=(width / _PER_INCH, height / _PER_INCH), layout="constrained")
        FigureCanvasSVG(figure)
        if panels:
            rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=panels)
            paint(list(rows[:, 0]))
        else:
            paint(figure.subplots())
        content = io.StringIO()
        with warnings.catch_warnings():
            # Letters that matplotlib's own font lacks are drawn by the browser's.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(content, format="svg", metadata={"Date": None})
    return Chart(_inline(content.getvalue(), size), title, text, size[0])


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
    # Only in styles: a class may be called like a colour.
    body = re.sub(r'style="[^"]*"', lambda found: _with_variables(found[0]), body)
    return f'<svg viewBox="0 0 {size[0]} {size[1]}" aria-hidden="true">{body}</svg>'


def _with_variables(style: str) -> str:
    for color, variable in _VARIABLES.items():
        style = style.replace(color, variable)
    return style
