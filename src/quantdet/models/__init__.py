"""Architectures, their losses, and the weights they start from.

To add a model: write its file, and its line in ``MODELS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantdet.models.localizer import build_localizer
from quantdet.models.weight_files import WeightSet, save_weights
from quantdet.models.weights import resolve_weights

MODELS: dict[str, Callable[..., Any]] = {"localizer": build_localizer}
"""[model] name → builder ``(ModelConfig, num_classes, WeightSet | None) -> keras.Model``."""

__all__ = ["MODELS", "WeightSet", "build_localizer", "resolve_weights", "save_weights"]
