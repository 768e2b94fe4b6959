"""What crosses from one room to another has a type, and Any is rare."""

import ast

import pytest

from tests.unit.annotations import is_public, read_modules, read_package

# Aliases of Any that say what they are: Keras and its backends have no types (quant/tensors.py).
OF_KERAS = ("Tensor", "Structure")
MOST_ANY = 0.02
ALLOWED = {
    "models/style.py:BackboneStyle.from_dict": "the record in a weight file, which it checks",
}
"""Public function whose mapping holds anything → why it has to."""


def read(source, **modules):
    trees = {"here.py": source} | {f"{name}.py": text for name, text in modules.items()}
    return read_modules({name: ast.parse(text) for name, text in trees.items()}, OF_KERAS)


@pytest.fixture(scope="module")
def package():
    return read_package(OF_KERAS)


def test_few_annotations_say_any(package):
    free = [item.place for item in package if item.is_free]
    assert len(package) > 7000
    assert len(free) < MOST_ANY * len(package), free


def test_no_mapping_of_anything_crosses_a_room(package):
    found = {
        f"{item.place.partition(':')[0]}:{item.owner}"
        for item in package
        if is_public(item.owner) and item.has_free_mapping
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "source",
    [
        "def f(x: Any): ...",
        "def f() -> list[Any]: ...",
        "def f(*args: Any): ...",
        "x: dict[str, Any] = {}",
        "def f(x: 'Any | None'): ...",
        "Table = dict[str, Any]\ndef f(x: Table): ...",
        "Table: TypeAlias = dict[str, Any]\nRows = list[Table]\ndef f(x: Rows): ...",
    ],
)
def test_any_is_seen(source):
    assert any(item.is_free for item in read(source))


@pytest.mark.parametrize(
    "source",
    [
        "def f(x: object) -> dict[str, object]: ...",
        "Tensor: TypeAlias = Any\ndef f(x: Tensor): ...",
        "from typing import Any\nx: Literal['Any thing'] = 1",
    ],
)
def test_what_has_a_name_is_not_any(source):
    assert not any(item.is_free for item in read(source))


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("def f() -> dict[str, Any]: ...", True),
        ("class A:\n    def f(self, x: list[Mapping[str, Any]] | None): ...", True),
        ("class A:\n    x: dict[str, Any]", True),
        ("def _f() -> dict[str, Any]: ...", False),
        ("class _A:\n    def f(self) -> dict[str, Any]: ...", False),
        ("TABLE: dict[str, Any] = {}", True),
        ("_TABLE: dict[str, Any] = {}", False),
        ("def f():\n    x: dict[str, Any] = {}", False),
        ("def f():\n    def inner() -> dict[str, Any]: ...", False),
        ("def f() -> dict[str, object]: ...", False),
    ],
)
def test_a_public_mapping_of_anything_is_seen(source, seen):
    assert seen == any(item.has_free_mapping and is_public(item.owner) for item in read(source))
