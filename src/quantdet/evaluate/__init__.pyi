# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.evaluate.file_parity import compare_file, equal_integers
from quantdet.evaluate.judge import EvaluationSet, Judge
from quantdet.evaluate.latency import benchmark, host
from quantdet.evaluate.parity import layer_parity, summarize
from quantdet.evaluate.predictors import decode_batch, keras_outputs
from quantdet.evaluate.run import open_judge

__all__ = [
    "EvaluationSet",
    "Judge",
    "benchmark",
    "compare_file",
    "decode_batch",
    "equal_integers",
    "host",
    "keras_outputs",
    "layer_parity",
    "open_judge",
    "summarize",
]
