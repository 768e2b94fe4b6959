"""Two files beside each other: every integer counts."""

import numpy as np
import pytest

from quantdet.evaluate import equal_integers
from quantdet.quant.litert.editable import EditableFile
from quantdet.runtime.contract import contract_path, load_contract
from tests.runtime.helpers import make_contract, tiny_model


@pytest.fixture
def files(tmp_path):
    """A model, and one with other weights."""
    model, other = tmp_path / "model.tflite", tmp_path / "other.tflite"
    model.write_bytes(tiny_model("ssd", "uint8"))
    changed = EditableFile(model.read_bytes())
    convolution = next(op for op in changed.operators if changed.name(op) == "CONV_2D")
    buffer = changed.model.buffers[changed.tensors[int(convolution.inputs[1])].buffer]
    buffer.data = 255 - np.asarray(buffer.data)
    other.write_bytes(changed.content())
    for file in (model, other):
        make_contract(file, "ssd").save(contract_path(file))
    return model, other


def test_every_integer_counts(files):
    model, other = files
    height, width = load_contract(model).input.size_hw
    pixels = np.random.default_rng(0).integers(0, 256, (3, height, width, 3)).astype(np.uint8)
    found = equal_integers(model, model, pixels)
    assert found.keys() >= {"reference", "optimized", "xnnpack"}
    assert all(same == count > 0 for same, count in found.values())
    assert all(same < count for same, count in equal_integers(model, other, pixels).values())
