"""Keras model in, .tflite out."""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "embed_contract": "quantdet.export.metadata",
    "export_float": "quantdet.export.baselines",
    "export_integer": "quantdet.export.integer",
    "export_ptq": "quantdet.export.baselines",
    "write_contract": "quantdet.export.contract",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
