"""Commands in pages: found, and parsed as the command line does, without running them."""

from __future__ import annotations

import re
import shlex

import typer

from quantdet.cli import app

_LINE = re.compile(r"^ {4,}(quantdet [^\n]*)$", re.MULTILINE)
# "quantdet[train]" is a package, and "quantdet" alone the project.
_INLINE = re.compile(r"`(quantdet [^`\n]*)`")
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def words_of(command):
    """Return the arguments of a command line."""
    return shlex.split(command, comments=True)[1:]


def commands_of(text):
    """Return the arguments of every command of a page, on lines of their own or within them."""
    prose = _FENCED.sub("", text)
    return [words_of(found[1]) for pattern in (_LINE, _INLINE) for found in pattern.finditer(prose)]


def parse(arguments):
    """Parse a command as the command line does, without running it."""
    command, words = typer.main.get_command(app), list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return command.make_context("quantdet", words).params


def all_options():
    """Return every option of every command."""
    pending, found = [typer.main.get_command(app)], set()
    while pending:
        command = pending.pop()
        pending += getattr(command, "commands", {}).values()
        found.update(name for item in command.params for name in (*item.opts, *item.secondary_opts))
    return found
