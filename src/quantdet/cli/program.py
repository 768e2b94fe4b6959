"""The command line: parse, call, show; errors become exit codes here and nowhere else.

0 done · 1 a defect of quantdet · 2 something the user can fix · 3 `verify` found a target that
fails · 130, 143 Ctrl-C, SIGTERM · 141 nobody reads the output any more.
Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, TextIO

import typer

from quantdet import __version__
from quantdet.cli.analyse import analyse
from quantdet.cli.data import data_app
from quantdet.cli.describe import describe
from quantdet.cli.device import benchmark, doctor, models, predict
from quantdet.cli.endings import (
    StopSignals,
    drop_output,
    sentence,
    tolerant_output,
)
from quantdet.cli.evaluate import evaluate
from quantdet.cli.output import help_without_command, register
from quantdet.cli.own_process import PartEndedError
from quantdet.cli.plan import plan
from quantdet.cli.share import pull, push
from quantdet.cli.stages import config, demo, export, qat, report, run, train
from quantdet.cli.verify import verify
from quantdet.cli.web import web
from quantdet.errors import DataWarning, QuantizationWarning
from quantdet.system.shown import LAYOUT, printable

app = typer.Typer(
    help="Images with boxes in, full-integer uint8 LiteRT detector out, measured on the file.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
"""The command line as a Typer application."""
app.add_typer(data_app, name="data")
for command in (
    *(doctor, demo, plan, config, train, qat, export, evaluate, analyse, report, run),
    *(predict, describe, verify, benchmark, web, models, push, pull),
):
    register(app, command)


_OUR_WARNINGS = (DataWarning, QuantizationWarning)
_INTERRUPTED = 130
_PIPE_CLOSED = 141  # as of a process that SIGPIPE ended


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"quantdet {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Images with boxes in, full-integer uint8 LiteRT detector out, measured on the file."""
    help_without_command(context)


def main() -> None:
    """Run the command line and leave with its exit code."""
    # TensorFlow's C++ part reads this when it is first imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tolerant_output()
    signals = StopSignals()
    try:
        with signals.caught(), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            for ours in _OUR_WARNINGS:
                warnings.simplefilter("default", ours)
            # Without standalone mode click returns the code of typer.Exit instead of leaving.
            code = app(standalone_mode=False)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except PartEndedError as end:
        sys.exit(end.code)
    except SystemExit as end:
        # Click leaves with 1 where nobody reads any more, e.g. `| head`.
        sys.exit(_PIPE_CLOSED if end.code == 1 else end.code)
    except Exception as error:
        said = sentence(error)
        if said is None:
            raise
        if isinstance(error, OSError):
            drop_output(sys.stdout)
        typer.echo(f"error: {printable(said, keep=LAYOUT)}", err=True)
        sys.exit(2)
    if code == _INTERRUPTED:  # typer makes it of KeyboardInterrupt
        typer.echo("interrupted; the same command resumes from here", err=True)
        sys.exit(signals.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _show_warning(  # noqa: PLR0913, PLR0917 - as Python calls it
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show what people should know as a sentence, and what programmers should as usual."""
    if issubclass(category, _OUR_WARNINGS):
        typer.echo(f"warning: {printable(str(message), keep=LAYOUT)}", err=True)
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        typer.echo(text, err=True, nl=False)
