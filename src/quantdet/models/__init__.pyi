# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.models.families import build_model, resolve_start
from quantdet.models.weight_files import WeightSet, save_weights

__all__ = [
    "WeightSet",
    "build_model",
    "resolve_start",
    "save_weights",
]
