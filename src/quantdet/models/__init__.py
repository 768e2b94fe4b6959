"""Architectures, their losses, and the weights they start from.

A family of models (:mod:`quantdet.kinds`) has a builder, and weights that it can start from.

Public names, loaded on first use: targets are made by processes that need no Keras.
"""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "WeightSet": "quantdet.models.weight_files",
    "build_model": "quantdet.models.families",
    "resolve_start": "quantdet.models.families",
    "save_weights": "quantdet.models.weight_files",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
