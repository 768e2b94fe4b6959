"""What every command shares: its answer, as text or JSON; help where none is named."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def show(value: Any, as_json: bool, text: str) -> None:
    """Print ``value`` as JSON for programs, or ``text`` for people."""
    typer.echo(json.dumps(value, indent=2, default=str) if as_json else text)


def help_without_command(context: typer.Context) -> None:
    """Show the help of a group that was called without a command."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
