# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.cli.bars import bar
from quantdet.cli.metrics_text import metrics_table
from quantdet.cli.program import app, main
from quantdet.cli.tables import table

__all__ = [
    "app",
    "bar",
    "main",
    "metrics_table",
    "table",
]
