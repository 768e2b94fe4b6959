"""The stage that finds the layers which quantization hurts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantdet.manifest import AnalyseRecord
from quantdet.progress import Progress, silent
from quantdet.runs import Run
from quantdet.stages.backend import training_stages
from quantdet.stages.dataset import load_data
from quantdet.stages.record import recorded

if TYPE_CHECKING:
    from quantdet.results.analysis import Analysis


def run_analyse(
    run: Run,
    *,
    pictures: int = 16,
    sensitivity: bool = True,
    progress: Progress = silent,
) -> Analysis:
    """Find the layers that quantization hurts; write ``analysis.json`` and ``analysis.png``.

    Args:
        run: after ``qat``.
        pictures: of the validation split, or of the training split without one; >= 1.
        sensitivity: quantize one layer at a time, too; that takes most of the time.
        progress: called with (phase, done, total).

    Returns:
        What is written to ``analysis.json``.

    Raises:
        QuantdetError: the run has no quantized model, or data or models do not fit.
    """
    training_stages()
    from quantdet.report.analysis import draw_analysis
    from quantdet.train.analyse_stage import AnalyseSettings, analyse_models

    config = run.load_config()
    models = (run.float_dir / "model.keras", run.qat_dir / "model.keras")
    settings = AnalyseSettings(pictures, sensitivity)
    with recorded(run, "analyse") as note:
        result = analyse_models(config, load_data(config, run), models, settings, progress)
        result.save(run.analysis_file)
        draw_analysis(result, run.analysis_picture)
        note(AnalyseRecord(file=run.analysis_file.name, pictures=result.pictures))
    return result
