"""Quantization-aware training for functional Keras 3 models; knows nothing of detection.

Public names, loaded on first use. docs/quantization.md shows them at work.
"""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "EQUIVALENTS": "quantdet.quant.equivalents",
    "ExactModel": "quantdet.quant.exact",
    "Graph": "quantdet.quant.graph",
    "Node": "quantdet.quant.graph",
    "OBSERVERS": "quantdet.quant.observers",
    "Pair": "quantdet.quant.pair",
    "QuantParams": "quantdet.quant.numerics",
    "RECIPES": "quantdet.quant.recipes",
    "ROUNDINGS": "quantdet.quant.rounding",
    "RULES": "quantdet.quant.rules",
    "Range": "quantdet.quant.rules",
    "Rule": "quantdet.quant.rules",
    "analyse": "quantdet.quant.analysis",
    "build_model": "quantdet.quant.graph",
    "compare_with_float": "quantdet.quant.judge",
    "diagnose": "quantdet.quant.diagnosis",
    "fold_affine_before": "quantdet.quant.fold",
    "fold_batch_norm": "quantdet.quant.fold",
    "freeze": "quantdet.quant.freezing",
    "load_keras": "quantdet.quant.saved",
    "prepare_qat": "quantdet.quant.prepare",
    "quantize": "quantdet.quant.numerics",
    "read_graph": "quantdet.quant.reader",
    "run_litert": "quantdet.quant.litert.run",
    "sensitivity": "quantdet.quant.sensitivities",
    "set_output_ranges": "quantdet.quant.calibrate",
    "sqnr_db": "quantdet.quant.noise",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
