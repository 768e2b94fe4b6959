"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import quantdet
from quantdet.cli import app
from quantdet.presets import preset_names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def commands(group, prefix=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))
        yield (*prefix, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def help_of(*names):
    done = CliRunner().invoke(app, [*names, "--help"], prog_name="quantdet")
    assert done.exit_code == 0
    return done.stdout


def test_version():
    command = [sys.executable, "-m", "quantdet", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"quantdet {quantdet.__version__}"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == quantdet.__version__


def test_a_shell_completes_presets():
    words = {"COMP_WORDS": "quantdet train --preset s", "COMP_CWORD": "3"}
    started = {"_QUANTDET_COMPLETE": "complete_bash", **words}
    done = CliRunner().invoke(app, [], prog_name="quantdet", env=started)
    assert done.stdout.split() == ["ssd"]


@pytest.mark.parametrize("group", [[], ["data"]])
def test_a_group_alone_shows_its_help(group):
    done = CliRunner().invoke(app, group)
    assert done.exit_code == 0
    assert done.stdout == CliRunner().invoke(app, [*group, "--help"]).stdout


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_help_of_every_command(names):
    command = COMMANDS[names]
    shown = help_of(*names)
    assert command.get_short_help_str(200)
    assert all(getattr(part, "help", None) for part in command.params), names
    assert CliRunner().invoke(app, [*names, "-h"], prog_name="quantdet").stdout == shown
    if not hasattr(command, "commands"):
        examples = [line.strip() for line in shown.splitlines() if "Example: " in line]
        assert examples
        for example in examples:
            assert example.startswith(f"Example: quantdet {' '.join(names)}")
            assert example.count("quantdet ") == 1, "each example has a line of its own"


@pytest.mark.parametrize("names", [n for n, c in COMMANDS.items() if not hasattr(c, "commands")])
def test_an_unknown_option_is_named(names):
    done = CliRunner().invoke(app, [*names, "--no-such-option"], prog_name="quantdet")
    assert done.exit_code == 2
    assert "--no-such-option" in done.output


def test_presets_in_help_come_from_the_folder():
    with_presets = [
        names
        for names, command in COMMANDS.items()
        if any(part.name == "preset" for part in command.params)
    ]
    assert {("run",), ("train",), ("config",)} <= set(with_presets)
    for names in with_presets:
        words = " ".join(help_of(*names).split())
        assert f"One of {', '.join(preset_names())}." in words
