# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.config.data import DataConfig, ExtraSource, TargetConfig
from quantdet.config.explain import Setting, explain_config
from quantdet.config.load import DEFAULT_PRESET, default_preset, load_config
from quantdet.config.model import ModelConfig, PredictConfig
from quantdet.config.schema import Config
from quantdet.config.training import QatConfig, TrainConfig

__all__ = [
    "Config",
    "DEFAULT_PRESET",
    "DataConfig",
    "ExtraSource",
    "ModelConfig",
    "PredictConfig",
    "QatConfig",
    "Setting",
    "TargetConfig",
    "TrainConfig",
    "default_preset",
    "explain_config",
    "load_config",
]
