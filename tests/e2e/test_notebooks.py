"""The notebooks run, and keep small outputs that name no machine."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest

from tests.unit.test_public_api import deep_imports

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
# With pictures; a repository is no place for more.
MOST_BYTES = 700_000


def cells(name, kind):
    found = json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def lines(cell):
    """Return the Python of a cell, where a line for the shell does nothing."""
    return re.sub(r"^(\s*)[!%].*$", r"\1pass", "".join(cell["source"]), flags=re.MULTILINE)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_is_python_and_has_run(name):
    numbers = []
    for cell in cells(name, "code"):
        ast.parse(lines(cell))
        numbers.append(cell["execution_count"])
        assert not [part for part in cell["outputs"] if part["output_type"] == "error"]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_only_public_names_are_imported(name):
    assert deep_imports("\n".join(map(lines, cells(name, "code"))), is_python=True) == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_outputs_are_small_and_name_no_machine(name):
    text = (FOLDER / f"{name}.ipynb").read_text("utf-8")
    assert len(text) < MOST_BYTES
    assert any("image/png" in str(cell["outputs"]) for cell in cells(name, "code"))
    assert not re.search(r"/(root|home|Users|tmp|work)/", text)


def test_all_begin_with_the_same_installation():
    first = {tuple(lines(cell) for cell in cells(name, "code")[:2]) for name in NOTEBOOKS}
    assert len(first) == 1


@pytest.fixture(scope="module")
def executor():
    pytest.importorskip("nbclient", reason="the notebooks' packages are not installed")
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_they_run_from_top_to_bottom(executor, tmp_path):
    assert sorted(executor.NOTEBOOKS) == NOTEBOOKS
    for name in executor.NOTEBOOKS:
        executor.execute(name, tmp_path)
