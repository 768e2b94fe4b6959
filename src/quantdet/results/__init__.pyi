# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.manifest import Manifest
from quantdet.results.analysis import Analysis
from quantdet.results.data import DataFacts
from quantdet.results.details import Details
from quantdet.results.figures import FIGURES
from quantdet.results.folder import Results, read_results
from quantdet.results.history import Epochs
from quantdet.results.metrics import DetectionMetrics, LocalizerMetrics
from quantdet.results.training import QatSummary, TrainSummary
from quantdet.results.verification import Verification
from quantdet.runtime.predictions import Predictions

__all__ = [
    "Analysis",
    "DataFacts",
    "Details",
    "DetectionMetrics",
    "Epochs",
    "FIGURES",
    "LocalizerMetrics",
    "Manifest",
    "Predictions",
    "QatSummary",
    "Results",
    "TrainSummary",
    "Verification",
    "read_results",
]
