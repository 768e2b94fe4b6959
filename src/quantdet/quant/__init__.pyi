# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.quant.analysis import analyse
from quantdet.quant.calibrate import set_output_ranges
from quantdet.quant.diagnosis import diagnose
from quantdet.quant.equivalents import EQUIVALENTS
from quantdet.quant.exact import ExactModel
from quantdet.quant.fold import fold_affine_before, fold_batch_norm
from quantdet.quant.freezing import freeze
from quantdet.quant.graph import Graph, Node, build_model
from quantdet.quant.judge import compare_with_float
from quantdet.quant.litert.run import run_litert
from quantdet.quant.noise import sqnr_db
from quantdet.quant.numerics import QuantParams, quantize
from quantdet.quant.observers import OBSERVERS
from quantdet.quant.pair import Pair
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.reader import read_graph
from quantdet.quant.recipes import RECIPES
from quantdet.quant.rounding import ROUNDINGS
from quantdet.quant.rules import RULES, Range, Rule
from quantdet.quant.saved import load_keras
from quantdet.quant.sensitivities import sensitivity

__all__ = [
    "EQUIVALENTS",
    "ExactModel",
    "Graph",
    "Node",
    "OBSERVERS",
    "Pair",
    "QuantParams",
    "RECIPES",
    "ROUNDINGS",
    "RULES",
    "Range",
    "Rule",
    "analyse",
    "build_model",
    "compare_with_float",
    "diagnose",
    "fold_affine_before",
    "fold_batch_norm",
    "freeze",
    "load_keras",
    "prepare_qat",
    "quantize",
    "read_graph",
    "run_litert",
    "sensitivity",
    "set_output_ranges",
    "sqnr_db",
]
