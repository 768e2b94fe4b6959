"""The judge of each family of models.

To measure a new family: write a judge (see ``judge.Judge``), and its line in ``JUDGES``.
"""

from __future__ import annotations

from collections.abc import Callable

from quantdet.config import Config
from quantdet.data.cache import ImageCache
from quantdet.evaluate.detection import DetectionJudge
from quantdet.evaluate.judge import Judge
from quantdet.evaluate.single_object import SingleObjectJudge
from quantdet.kinds import DETECTOR, LOCALIZER, find_family

JUDGES: dict[str, Callable[[Config, tuple[str, ...], ImageCache], Judge]] = {
    LOCALIZER: SingleObjectJudge,
    DETECTOR: DetectionJudge,
}
"""Family → judge ``(config, labels, decoded test pictures)``."""


def find_judge(config: Config, labels: tuple[str, ...], cache: ImageCache) -> Judge:
    """Return the judge of a configured model.

    Raises:
        ConfigError: unknown model.
        DataError: no test picture has anything to find.
    """
    return JUDGES[find_family(config.model.name)](config, labels, cache)
