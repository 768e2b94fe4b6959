"""Which judge a model has.

To measure a new kind of model: write a judge (see ``judge.Judge``), and its line in ``JUDGES``.
"""

from __future__ import annotations

from collections.abc import Callable

from quantdet.config import Config
from quantdet.data.cache import ImageCache
from quantdet.evaluate.detection import DetectionJudge
from quantdet.evaluate.judge import Judge
from quantdet.evaluate.single_object import SingleObjectJudge

JUDGES: dict[str, Callable[[Config, tuple[str, ...], ImageCache], Judge]] = {
    "localizer": SingleObjectJudge,
    "ssd": DetectionJudge,
    "ssdlite": DetectionJudge,
}
"""[model] name → judge ``(config, labels, decoded test pictures)``."""
