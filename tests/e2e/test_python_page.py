"""The lines of docs/python.md run."""

from __future__ import annotations

import importlib
import re
import shutil
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
_BLOCK = re.compile(r"(<!-- slow -->\n\n)?```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("finished", ["global"], indirect=True)
@pytest.mark.parametrize("with_slow", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_lines_run(finished, with_slow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Trained with the settings of the page, so that its stages need not be repeated.
    for part in ("float", "qat"):
        shutil.copytree(finished / part, Path("runs", "first", part))
    trained = Path("runs", "first", "qat", "model.keras").read_bytes()
    _protect(monkeypatch, "RULES")
    text = PAGE.read_text("utf-8")
    names = {"__name__": "page"}
    for found in _BLOCK.finditer(text):
        if with_slow or not found[1]:
            # A traceback has the line of the page.
            above = "\n" * text.count("\n", 0, found.start(2))
            exec(compile(above + found[2], str(PAGE), "exec"), names)
    assert names["run"].report_file.is_file()
    assert "conv" in (names["run"].float_dir / "model.txt").read_text("utf-8").lower()
    assert Path("runs", "first", "qat", "model.keras").read_bytes() == trained
    assert Path("comparison.html").exists() is with_slow


def _protect(monkeypatch, name):
    """Let the page add to a table, in a copy of it."""
    quant = importlib.import_module("quantdet.quant")
    module = importlib.import_module(quant._PUBLIC[name])
    monkeypatch.setattr(module, name, dict(getattr(module, name)))
