"""SECURITY.md names its tests, and floors of dependencies agree with what is tested."""

import ast
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from quantdet.data.dataset import load_dataset
from quantdet.errors import QuantdetError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def functions_of(file):
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {item.name for item in tree.body if isinstance(item, ast.FunctionDef)}


def missing_tests(text):
    return [name for file, name in NAMED.findall(text) if name not in functions_of(file)]


def test_named_tests_exist():
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    assert len(NAMED.findall(text)) > 20
    assert not missing_tests(text)
    assert missing_tests("`tests/unit/test_security.py::test_of_old`") == ["test_of_old"]


def test_every_promise_names_a_test():
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    bodies = re.findall(r"^\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row for body in bodies for row in body.splitlines()]
    assert len(rows) > 10
    assert [row for row in rows if not NAMED.search(row)] == []


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lists = (project["dependencies"], *project["optional-dependencies"].values())
    return [Requirement(line) for items in lists for line in items]


def pinned():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    return {plain(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_pinned_versions_are_allowed():
    """What is tested is what may be installed; on the Pythons that constraints.txt is for."""
    pins = pinned()
    checked = 0
    for item in requirements():
        here = item.marker is None or item.marker.evaluate({"python_version": "3.12"})
        # The extra "small" is an earlier LiteRT on purpose.
        if here and plain(item.name) in pins and "<" not in str(item.specifier):
            assert item.specifier.contains(pins[plain(item.name)], prereleases=True), item
            checked += 1
    assert checked > 20


def test_yaml_runs_no_code(tmp_path):
    mark = tmp_path / "ran"
    (tmp_path / "data.yaml").write_text(
        f"names: !!python/object/apply:os.mkdir ['{mark}']\ntrain: images\n"
    )
    with pytest.raises(QuantdetError, match=r"data\.yaml"):
        load_dataset(tmp_path)
    assert not mark.exists()
