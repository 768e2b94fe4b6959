"""The pages that follow from the code are what the code says now."""

import importlib.util
from pathlib import Path

import pytest

import quantdet
from quantdet.config import Config

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_every_public_name_has_a_docstring():
    for name in quantdet.__all__:
        assert getattr(quantdet, name).__doc__, name
