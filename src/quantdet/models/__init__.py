"""Architectures, their losses, and the weights they start from.

To add a model: write its file, and its line in ``MODELS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from quantdet.config import ModelConfig
from quantdet.models.detector_weights import resolve_detector_weights
from quantdet.models.localizer import build_localizer
from quantdet.models.ssd import build_ssd, trunk_names
from quantdet.models.ssd_start import choose_class_rows
from quantdet.models.weight_files import WeightSet, save_weights
from quantdet.models.weights import default_cache_dir, resolve_weights

MODELS: dict[str, Callable[..., Any]] = {
    "localizer": build_localizer,
    "ssd": build_ssd,
    "ssdlite": build_ssd,
}
"""[model] name → builder ``(ModelConfig, num_classes, WeightSet | None) -> keras.Model``."""


def resolve_start(config: ModelConfig, labels: Sequence[str]) -> WeightSet | None:
    """Return the weights to start from: of a detector or a backbone; None for random ones.

    Raises:
        ModelError: the weights cannot be had or do not fit.
        ConfigError: [model] names something unknown.
    """
    if config.name != "localizer":
        found = resolve_detector_weights(config, trunk_names(config), default_cache_dir())
        if found is not None:
            return choose_class_rows(found, labels, config.start_classes)
    return resolve_weights(config)


__all__ = [
    "MODELS",
    "WeightSet",
    "build_localizer",
    "build_ssd",
    "resolve_start",
    "resolve_weights",
    "save_weights",
]
