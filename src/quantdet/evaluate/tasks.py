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

_Lowest = NDArray[np.float64]

JUDGES: dict[str, Callable[[Config, tuple[str, ...], ImageCache, _Lowest | None], Judge]] = {
    LOCALIZER: SingleObjectJudge,
    DETECTOR: DetectionJudge,
}
"""Family → judge ``(config, labels, decoded pictures, lowest scores shown)``."""


def find_judge(
    config: Config, labels: tuple[str, ...], cache: ImageCache, lowest: _Lowest | None = None
) -> Judge:
    """Return the judge of a configured model.

    Args:
        config: of the run.
        labels: class names.
        cache: decoded pictures.
        lowest: (labels,), lowest score that people see; None takes that of the configuration.

    Raises:
        ConfigError: unknown model.
        NothingToFindError: no picture has an object that counts.
    """
    return JUDGES[find_family(config.model.name)](config, labels, cache, lowest)
