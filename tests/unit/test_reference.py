"""The pages that follow from the code are what the code says now."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from quantdet.config import Config
from tests.unit.scripts import load_script

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def reference():
    return load_script(DOCS / "reference.py")


def test_pages_are_up_to_date(reference):
    for name, written in reference.pages().items():
        assert (DOCS / name).read_text("utf-8") == written, f"{name}: python docs/reference.py"


def test_no_page_is_left_over(reference):
    schemas = {f"schemas/{path.name}" for path in (DOCS / "schemas").iterdir()}
    assert schemas == {name for name in reference.pages() if name.startswith("schemas/")}


def test_every_key_is_described():
    for section in Config.model_fields.values():
        for key, info in section.annotation.model_fields.items():
            assert info.description, key


def public(reference):
    for face in reference.FACES:
        module = importlib.import_module(face)
        yield from ((face, name, getattr(module, name)) for name in module.__all__)


def test_every_public_name_has_a_docstring(reference):
    for face, name, value in public(reference):
        assert inspect.getdoc(value), (face, name)


def test_every_public_name_has_an_example(reference):
    """tests/e2e/test_python_page.py runs them."""
    examples = reference._examples()
    for face, name, _ in public(reference):
        assert name == "__version__" or list(reference._example(name, examples)), (face, name)
    assert not list(reference._example("no_such_name", examples))


def test_stubs_have_the_names(reference):
    for file, text in reference.stubs().items():
        face = importlib.import_module(file.removesuffix("/__init__.pyi").replace("/", "."))
        body = ast.parse(text).body
        imported = {alias.name for line in body[:-1] for alias in getattr(line, "names", ())}
        assert imported == set(face._PUBLIC)
        assert ast.literal_eval(body[-1].value) == list(face.__all__)
