"""The command line: one file for each group of commands, and the text that they print."""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "app": "quantdet.cli.program",
    "bar": "quantdet.cli.bars",
    "main": "quantdet.cli.program",
    "metrics_table": "quantdet.cli.metrics_text",
    "table": "quantdet.cli.tables",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
