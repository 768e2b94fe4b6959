"""``analysis.json`` as a picture: noise of every layer, in the order of the net."""

from __future__ import annotations

from pathlib import Path

from quantdet.report.charts import save_picture
from quantdet.report.layer_plots import noise_drawing
from quantdet.results.analysis import Analysis


def draw_analysis(analysis: Analysis, path: Path) -> None:
    """Draw each layer's own and accumulated SQNR, and its share of the noise at the outputs.

    Args:
        analysis: of a run.
        path: of the PNG.
    """
    save_picture(noise_drawing(analysis), path)
