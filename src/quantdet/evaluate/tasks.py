"""The judge of each family of models.

To measure a new family: write a judge (see ``judge.Judge``), and its line in ``JUDGES``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quantdet.config import Config
from quantdet.data.cache import ImageCache
from quantdet.evaluate.detection import DetectionJudge
from quantdet.evaluate.judge import Judge
from quantdet.evaluate.single_object import SingleObjectJudge
from quantdet.kinds import DETECTOR, LOCALIZER, find_family

_Scores = NDArray[np.float64]

JUDGES: dict[str, Callable[[Config, tuple[str, ...], ImageCache, _Scores], Judge]] = {
    LOCALIZER: SingleObjectJudge,
    DETECTOR: DetectionJudge,
}
"""Family → judge ``(config, labels, decoded pictures, thresholds)``."""


def find_judge(
    config: Config, labels: tuple[str, ...], cache: ImageCache, thresholds: _Scores
) -> Judge:
    """Return the judge of a configured model.

    Args:
        config: of the run.
        labels: class names.
        cache: decoded pictures.
        thresholds: (labels,), lowest score that people see, of ``label_thresholds``.

    Raises:
        ConfigError: unknown model.
        NothingToFindError: no picture has an object that counts.
    """
    return JUDGES[find_family(config.model.name)](config, labels, cache, thresholds)
