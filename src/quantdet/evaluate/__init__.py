"""Measure a model: accuracy, parity, latency."""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "EvaluationSet": "quantdet.evaluate.judge",
    "Judge": "quantdet.evaluate.judge",
    "benchmark": "quantdet.evaluate.latency",
    "compare_file": "quantdet.evaluate.file_parity",
    "decode_batch": "quantdet.evaluate.predictors",
    "equal_integers": "quantdet.evaluate.file_parity",
    "host": "quantdet.evaluate.latency",
    "keras_outputs": "quantdet.evaluate.predictors",
    "layer_parity": "quantdet.evaluate.parity",
    "open_judge": "quantdet.evaluate.run",
    "summarize": "quantdet.evaluate.parity",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
