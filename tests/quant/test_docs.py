"""docs/quantization.md says what there is, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quantdet.quant.layers import RANGES
from quantdet.quant.litert.check_integer import check_integer
from quantdet.quant.observers import OBSERVERS
from quantdet.quant.recipes import RECIPES
from quantdet.quant.rounding import ROUNDINGS
from tests.eager import eager_steps

PAGE = Path(__file__).parents[2] / "docs" / "quantization.md"


@pytest.fixture(scope="module")
def text():
    return PAGE.read_text("utf-8")


def test_your_own_model_in_15_lines(text, tmp_path, monkeypatch):
    block = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]
    assert len([line for line in block.splitlines() if line]) <= 15
    monkeypatch.chdir(tmp_path)
    with eager_steps():
        exec(compile(block, str(PAGE), "exec"), {})
    check_integer((tmp_path / "model.tflite").read_bytes(), "uint8")


@pytest.mark.parametrize("names", [RECIPES, OBSERVERS, ROUNDINGS, RANGES])
def test_every_choice_is_described(text, names):
    missing = [name for name in names if f"`{name}`" not in text and f'"{name}"' not in text]
    assert missing == []
