"""What each family of models is built by, and what it starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from quantdet.config import ModelConfig
from quantdet.kinds import DETECTOR, LOCALIZER, find_family
from quantdet.models.detector_weights import resolve_detector_weights
from quantdet.models.localizer import build_localizer
from quantdet.models.narrowing import channels_taken
from quantdet.models.ssd import build_ssd, trunk_layers
from quantdet.models.ssd_start import choose_class_rows
from quantdet.models.weight_files import WeightSet
from quantdet.models.weights import default_cache_dir, resolve_weights

if TYPE_CHECKING:
    import keras

BUILDERS: dict[str, Callable[[ModelConfig, int, WeightSet | None], keras.Model]] = {
    LOCALIZER: build_localizer,
    DETECTOR: build_ssd,
}
"""Family → builder: settings, number of classes, weights to start from → model."""


def _detector_start(config: ModelConfig, labels: Sequence[str]) -> WeightSet | None:
    trunk = trunk_layers(config)
    names = [layer.name for layer in trunk]
    found = resolve_detector_weights(config, names, default_cache_dir())
    if found is None:
        return resolve_weights(config)
    found = choose_class_rows(found, labels, config.start_classes)
    return replace(found, taken=channels_taken(trunk, found))


STARTS: dict[str, Callable[[ModelConfig, Sequence[str]], WeightSet | None]] = {
    LOCALIZER: lambda config, labels: resolve_weights(config),
    DETECTOR: _detector_start,
}
"""Family → weights to start from."""


def build_model(
    config: ModelConfig, num_classes: int, weights: WeightSet | None = None
) -> keras.Model:
    """Build the float Keras model that [model] describes; see the builder of its family.

    Args:
        config: the [model] section.
        num_classes: classes without background.
        weights: to start from; None leaves all random.

    Raises:
        ModelError: no class, or ``weights`` do not fit.
        ConfigError: [model] names something unknown.
    """
    return BUILDERS[find_family(config.name)](config, num_classes, weights)


def resolve_start(config: ModelConfig, labels: Sequence[str]) -> WeightSet | None:
    """Return the weights to start from: of a detector or a backbone; None for random ones.

    Raises:
        ModelError: the weights cannot be had or do not fit.
        ConfigError: [model] names something unknown.
    """
    return STARTS[find_family(config.name)](config, labels)
