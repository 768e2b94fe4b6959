"""``analysis.json`` as a picture: noise of every layer, in the order of the net."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantdet.report.charts import save_picture
from quantdet.report.layer_plots import noise_drawing
from quantdet.report.side_files import Analysis


def draw_analysis(result: Mapping[str, Any], path: Path) -> None:
    """Draw each layer's own and accumulated SQNR, and its share of the noise at the outputs.

    Args:
        result: content of ``analysis.json``.
        path: of the PNG.
    """
    save_picture(noise_drawing(Analysis.model_validate(result)), path)
