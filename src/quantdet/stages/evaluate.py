"""The stage that measures every model of a run, and the same for one file without a run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from quantdet.config import DataConfig
from quantdet.data.configured import load_configured
from quantdet.manifest import EvaluateRecord
from quantdet.progress import Progress, silent
from quantdet.runs import Run
from quantdet.runtime.contract import file_sha256
from quantdet.stages.backend import import_keras_quietly
from quantdet.stages.dataset import load_tested, write_data_facts
from quantdet.stages.record import recorded

if TYPE_CHECKING:
    from quantdet.results.metrics import AnyMetrics, DetectionMetrics


def run_evaluate(run: Run, *, parity_pictures: int = 16, progress: Progress = silent) -> AnyMetrics:
    """Measure every model of the run on the test split, on the .tflite files themselves.

    Args:
        run: what exists in it is measured.
        parity_pictures: pictures for the parity checks; 0 leaves them out.
        progress: called with (phase, done, total).

    Returns:
        What is written to ``metrics.json``; ``details.json`` and ``data.json`` are next to it.
    """
    import_keras_quietly()
    from quantdet.evaluate.run import evaluate_run

    config = run.load_config()
    dataset = load_tested(config, run)
    with recorded(run, "evaluate") as note:
        metrics = evaluate_run(run, config, dataset, parity_pictures, progress)
        if config.data.train_split in dataset.splits and not run.data_file.exists():
            write_data_facts(run, config, dataset)
        file = run.model_file
        sha256 = file_sha256(file) if file.exists() else ""
        note(EvaluateRecord(metrics=run.metrics_file.name, sha256=sha256))
    return metrics


def evaluate_model(
    model: Path | str, data: DataConfig, progress: Progress = silent
) -> DetectionMetrics:
    """Measure one .tflite with its contract, from any source, on ``data.test_split``.

    Returns:
        What ``quantdet evaluate --json`` prints.

    Raises:
        QuantdetError: model, contract or data are wrong, or share no class.
    """
    from quantdet.evaluate.foreign import evaluate_file

    model = Path(model)
    split = data.test_split
    dataset = load_configured(data, splits=(split,))
    measured = partial(progress, f"measure {model.name}")
    return evaluate_file(model, dataset, split, measured)
