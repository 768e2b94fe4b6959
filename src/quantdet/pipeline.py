"""All stages of a run, one after another.

Each stage reads the folder, writes its results in one step, can be run again (what is finished
is not repeated) and resumes where it was killed.
"""

from __future__ import annotations

from pathlib import Path

from quantdet.config import Config
from quantdet.progress import Progress, silent
from quantdet.runs import Run
from quantdet.stages.analyse import run_analyse
from quantdet.stages.evaluate import run_evaluate
from quantdet.stages.export import run_export
from quantdet.stages.report import run_report
from quantdet.stages.train import run_qat, run_train


def run_all(config: Config, out: Path | str, progress: Progress = silent) -> Run:
    """Run every stage: train, qat, export with baselines, evaluate, analyse, report."""
    run = run_train(config, out, progress)
    run_qat(run, progress)
    run_export(run, ("uint8", "int8-ptq", "float32"), progress)
    run_evaluate(run, progress=progress)
    run_analyse(run, sensitivity=False, progress=progress)
    run_report(run)
    return run
