"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
from typer.testing import CliRunner

from quantdet.cli import app


def test_version():
    command = [sys.executable, "-m", "quantdet", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"quantdet {metadata.version('quantdet')}"


@pytest.mark.parametrize("group", [[], ["data"]])
def test_a_group_alone_shows_its_help(group):
    done = CliRunner().invoke(app, group)
    assert done.exit_code == 0
    assert done.stdout == CliRunner().invoke(app, [*group, "--help"]).stdout
