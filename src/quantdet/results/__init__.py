"""The result files of a run: what is in them, typed, and how they are read."""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "Analysis": "quantdet.results.analysis",
    "DataFacts": "quantdet.results.data",
    "Details": "quantdet.results.details",
    "DetectionMetrics": "quantdet.results.metrics",
    "Epochs": "quantdet.results.history",
    "FIGURES": "quantdet.results.figures",
    "LocalizerMetrics": "quantdet.results.metrics",
    "Manifest": "quantdet.manifest",
    "Predictions": "quantdet.runtime.predictions",
    "QatSummary": "quantdet.results.training",
    "Results": "quantdet.results.folder",
    "TrainSummary": "quantdet.results.training",
    "Verification": "quantdet.results.verification",
    "read_results": "quantdet.results.folder",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
