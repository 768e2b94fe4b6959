"""The settings of a run: what there is, how they are put together, and what set each of them."""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "Config": "quantdet.config.schema",
    "DEFAULT_PRESET": "quantdet.config.load",
    "DataConfig": "quantdet.config.data",
    "ExtraSource": "quantdet.config.data",
    "ModelConfig": "quantdet.config.model",
    "PredictConfig": "quantdet.config.model",
    "QatConfig": "quantdet.config.training",
    "Setting": "quantdet.config.explain",
    "TargetConfig": "quantdet.config.data",
    "TrainConfig": "quantdet.config.training",
    "default_preset": "quantdet.config.load",
    "explain_config": "quantdet.config.explain",
    "load_config": "quantdet.config.load",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
