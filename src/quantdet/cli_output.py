"""What every command of the command line shares: its answer, as text or JSON."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def show(value: Any, as_json: bool, text: str) -> None:
    """Print ``value`` as JSON for programs, or ``text`` for people."""
    typer.echo(json.dumps(value, indent=2, default=str) if as_json else text)
