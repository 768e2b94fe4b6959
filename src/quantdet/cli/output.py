"""What every command shares: its help, and its answer as text or JSON."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Annotated

import typer
from pydantic import BaseModel

from quantdet.system.shown import LAYOUT, printable

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def show(value: object, as_json: bool, text: str) -> None:
    """Print ``value`` as JSON for programs, or ``text`` for people."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(value, indent=2, default=str))
    else:
        # Names of files and classes are in it.
        typer.echo(printable(text, keep=LAYOUT))


def register(app: typer.Typer, function: Callable[..., None], name: str | None = None) -> None:
    """Make a function a command; its docstring is the help, with each example on its own line."""
    text = inspect.cleandoc(function.__doc__ or "")
    # Click joins the lines of a paragraph unless it starts with this mark.
    app.command(name, help=text.replace("\n\nExample: ", "\n\n\b\nExample: "))(function)


def help_without_command(context: typer.Context) -> None:
    """Show the help of a group that was called without a command."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
