"""Bars appear where there is something to wait for."""

import subprocess
import sys

import pytest

from quantdet.cli.bars import bar

CODE = """
import sys
from quantdet.cli.bars import bar
with bar() as progress:
    for step in {steps}:
        progress("look", *step)
print("rich" in sys.modules)
"""


@pytest.mark.parametrize(
    ("steps", "drawn"),
    [([(1, 1)], False), ([(1, 2), (2, 2)], True), ([(0, 1), (1, 1)], True), ([(1, 0)], True)],
)
def test_rich_is_loaded_only_for_a_bar(steps, drawn):
    code = CODE.format(steps=steps)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(drawn)
    assert ("look" in done.stderr) is drawn


def test_bars_are_on_standard_error_and_named(capsys):
    with bar() as progress:
        look = progress.named("look")
        for done in (1, 2, 3):
            look(done, 3)
        progress("write", 1, 2)
    said = capsys.readouterr()
    assert not said.out
    assert "3/3" in said.err
    assert "write" in said.err
