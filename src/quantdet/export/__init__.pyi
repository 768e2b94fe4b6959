# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.export.baselines import export_float, export_ptq
from quantdet.export.contract import write_contract
from quantdet.export.integer import export_integer
from quantdet.export.metadata import embed_contract

__all__ = [
    "embed_contract",
    "export_float",
    "export_integer",
    "export_ptq",
    "write_contract",
]
