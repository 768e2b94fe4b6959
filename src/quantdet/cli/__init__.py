"""The command line: one file for each group of commands, and the text that they print."""

from quantdet.cli.app import app, main

__all__ = ["app", "main"]
