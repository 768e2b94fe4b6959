"""``analysis.json`` as a picture: noise of the layers that hurt most."""

from __future__ import annotations

from pathlib import Path

from quantdet.report.charts import save_picture
from quantdet.report.layer_plots import noise_drawing
from quantdet.results.analysis import Analysis


def draw_analysis(analysis: Analysis, path: Path) -> None:
    """Draw own and accumulated SQNR of the worst layers, and their share of the output's noise.

    Args:
        analysis: of a run.
        path: of the PNG.
    """
    save_picture(noise_drawing(analysis), path)
