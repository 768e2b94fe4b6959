"""docs/contract.md describes what there is."""

import json
import re
from pathlib import Path

import pytest

from quantdet.runtime.contract import Contract, DecoderSpec, InputSpec
from quantdet.runtime.decoders import DECODERS

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"


@pytest.fixture(scope="module")
def text():
    return PAGE.read_text("utf-8")


def test_every_field_is_described(text):
    table = text.split("## Fields")[1].split("## Decoders")[0]
    named = set(re.findall(r"`([a-z_.0-9]+)`", table.replace("`, `", "` `")))
    nested = {"input": InputSpec, "decoder": DecoderSpec}
    wanted = {name for name in Contract.model_fields if name not in nested}
    wanted |= {f"{part}.{name}" for part, spec in nested.items() for name in spec.model_fields}
    assert wanted <= named, wanted - named


def test_every_decoder_is_described(text):
    rows = re.findall(r"^\| `(\w+)` \|", text.split("## Decoders")[1], flags=re.MULTILINE)
    assert sorted(rows) == sorted(DECODERS)


def test_example_is_a_contract(text):
    (block,) = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    contract = Contract.model_validate(json.loads(block))
    assert contract.decoder.kind == "post_processed"
    assert contract.input.pixel_offset == contract.input.tensor.zero_point


def test_python_examples_are_python(text):
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, str(PAGE), "exec")
