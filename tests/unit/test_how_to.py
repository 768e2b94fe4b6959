"""The commands, settings and Python of docs/how-to exist."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from quantdet import load_config
from tests.unit.commands import all_options, commands_of, parse, words_of

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
COMMANDS = {
    f"{page.stem}: {' '.join(words)}": words
    for page in PAGES
    for words in commands_of(page.read_text("utf-8"))
}
_ONE_SCREEN = 65
# Not of this project: lines of other tools.
_THEIRS = {"--accelerator-config", "--output-dir", "--directory", "--pre"}


def text_of(pattern):
    return [
        (page, found) for page in PAGES for found in re.findall(pattern, page.read_text("utf-8"))
    ]


def python_of(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_parses(words):
    assert parse(words) is not None


def test_commands_are_found_and_wrong_ones_noticed():
    text = "a `quantdet qat RUN`\n\n    quantdet export  # all\n\n```\n    quantdet no\n```\n"
    assert commands_of(text) == [["export"], ["qat", "RUN"]]
    assert len(COMMANDS) > 50
    with pytest.raises(Exception, match="Missing parameter: source"):
        parse(words_of("quantdet export"))


def test_every_option_exists():
    options = all_options()
    named = text_of(r"(?<![\w-])(--[a-z][\w-]*)")
    assert len(named) > 50
    for page, option in named:
        assert option in options | _THEIRS, (page.name, option)


def test_every_setting_is_accepted():
    settings = text_of(r"--set ([\w.]+=[^\s`]+)") + text_of(r"update_config\(\w+, \[\"(.+?)\"")
    assert len(settings) > 15
    for page, setting in settings:
        preset = "recommended" if setting.startswith("target.") else "ssd"
        assert load_config(preset=preset, overrides=[setting]), (page.name, setting)
    for page, key in text_of(r"`((?:data|train|qat|target|predict)\.(?!yaml)[a-z_]+)`"):
        section, name = key.split(".")
        assert hasattr(getattr(load_config(preset="ssd"), section), name), (page.name, key)


def test_python_compiles_and_its_names_are_public():
    for page in PAGES:
        for code in python_of(page.read_text("utf-8")):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and node.module.startswith("quantdet"):
                    public = importlib.import_module(node.module).__all__
                    assert {alias.name for alias in node.names} <= set(public), page.name


def test_a_page_is_one_screen():
    for page in PAGES:
        assert len(page.read_text("utf-8").splitlines()) < _ONE_SCREEN, page.name


def test_the_index_lists_every_page():
    index = (ROOT / "docs" / "how-to" / "README.md").read_text("utf-8")
    for page in PAGES:
        assert page.name == "README.md" or f"]({page.name})" in index, page.name
