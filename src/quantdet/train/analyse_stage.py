"""The analyse stage: which layers does quantization hurt?

The float model of a run beside its quantized one, on pictures that neither was trained on where
there are any.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantdet.config import Config
from quantdet.data.sample import Dataset
from quantdet.errors import ModelError
from quantdet.progress import Progress, silent
from quantdet.quant.analysis import analyse
from quantdet.quant.diagnosis import diagnose
from quantdet.quant.pair import Pair
from quantdet.quant.recipes import equalizes
from quantdet.quant.saved import load_keras
from quantdet.quant.sensitivities import sensitivity
from quantdet.results.analysis import Analysis
from quantdet.train.float_stage import build_task
from quantdet.train.task import PictureTask

# All tensors of so many pictures are in memory at once.
_BATCH = 4


@dataclass(frozen=True)
class AnalyseSettings:
    """What to look at.

    Attributes:
        pictures: how many, >= 1; fewer if the split has fewer.
        sensitivity: quantize one layer at a time, too.
    """

    pictures: int = 16
    sensitivity: bool = True


def analyse_models(
    config: Config,
    dataset: Dataset,
    models: tuple[Path, Path],
    settings: AnalyseSettings,
    progress: Progress = silent,
) -> Analysis:
    """Compare a float model and what it was quantized to, layer by layer.

    Args:
        config: the whole configuration.
        dataset: splits by name; validation pictures are taken, or training ones without them.
        models: ``model.keras`` of the float stage and of the QAT stage.
        settings: what to look at.
        progress: called with (phase, done, total).

    Raises:
        ModelError: a model is missing or damaged.
        QuantdetError: models or data do not fit.
    """
    quantized, floats = load_keras(models[1]), load_keras(models[0])
    task = build_task(config, dataset, progress)
    pair = Pair(quantized, floats, task.output_ranges)
    if equalizes(config.qat.recipe):
        check_divided(pair, models[1])
    pictures = _pictures(task, settings.pictures)
    batches = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
    analysis = analyse(pair, batches, partial(progress, "compare layers"))
    moved = None
    if settings.sensitivity:
        moved = sensitivity(pair, batches, partial(progress, "quantize one at a time"))
    findings = diagnose(analysis.layers, moved, config.qat.observer)
    rows = [layer.to_dict() for layer in analysis.layers]
    for number, row in enumerate(rows):
        row["sensitivity"] = None if moved is None else moved[number].to_dict()
    return Analysis.build(
        {
            "split": config.data.val_split if task.validation else config.data.train_split,
            "pictures": len(pictures),
            "outputs": analysis.outputs,
            "layers": rows,
            "findings": [finding.to_dict() for finding in findings],
        }
    )


def check_divided(pair: Pair, model: Path) -> None:
    """Refuse an equalized model that does not say by what: its layers compare with nothing.

    Raises:
        ModelError: ``model``, of the pair, is of an older version.
    """
    if not pair.is_divided:
        raise ModelError(
            f"{model}: does not say how its layers were equalized, since an older version made it; "
            f"remove {model.parent} and call `quantdet qat` again"
        )


def _pictures(task: PictureTask, count: int) -> NDArray[np.float32]:
    """Return ``count`` model inputs, or all of fewer, spread over the split."""
    source = task.validation or task.train
    chosen = np.linspace(0, len(source) - 1, min(count, len(source)))
    return source.pictures(np.rint(chosen).astype(np.int64))
