"""Files that end with TFLite_Detection_PostProcess: only their boxes are seen."""

from __future__ import annotations

import numpy as np
import pytest

from quantdet.errors import ModelError
from quantdet.export.file_formats import export_file_formats
from quantdet.quant.litert_file import read_litert
from quantdet.runtime.contract import contract_path
from quantdet.verify import verdict
from quantdet.verify.models import file_subject, load_checked
from quantdet.verify.subject import Pictures, decoding_operators
from quantdet.verify.targets.edgetpu import check_rules
from quantdet.verify.verdict import judge
from tests.runtime.helpers import make_contract, solid, tiny_model


def made(folder, dtype):
    file = folder / f"{dtype}.tflite"
    file.write_bytes(tiny_model("ssd", dtype))
    make_contract(file, "ssd").save(contract_path(file))
    return export_file_formats(file, ["postprocess"], folder)["postprocess"][0]


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """Red and blue pictures, in which all 16 squares are found."""
    file = made(tmp_path_factory.mktemp("inside"), "uint8")
    colors = [(255, 0, 0), (0, 0, 255), (255, 0, 0)]
    pixels = np.stack([solid(color, (32, 32)) for color in colors])
    return file_subject(*load_checked(file), Pictures(pixels, [(32, 32)] * 3), lambda *_: None)


def test_all_outputs_are_compared(subject):
    assert {part: values.shape for part, values in subject.expected.items()} == {
        "boxes": (3, 100, 4),
        "scores": (3, 100),
        "classes": (3, 100),
        "count": (3, 1),
    }
    assert subject.shown == 48


def test_the_same_boxes_pass_and_others_fail(subject):
    passed = judge(subject, subject.expected, "xnnpack", version="1")
    assert (passed.status, passed.same_detections, passed.version) == ("passed", 1.0, "1")
    other = {**subject.expected, "classes": np.where(subject.expected["classes"] == 0, 1.0, 0.0)}
    failed = judge(subject, other, "xnnpack")
    assert (failed.status, failed.same_detections) == ("failed", 0.0)
    in_one = subject.expected["classes"].copy()
    in_one[0] = other["classes"][0]
    partly = judge(subject, {**subject.expected, "classes": in_one}, "xnnpack")
    assert partly.reason.startswith("66.67 % the same detections of 90 needed; ")


def test_few_objects_tell_nothing(subject, monkeypatch):
    monkeypatch.setattr(verdict, "LEAST_SHOWN", 49)
    result = judge(subject, subject.expected, "xnnpack")
    assert result.status == "skipped"
    assert "48 objects are too few" in result.reason


def test_layers_must_be_integer(tmp_path):
    with pytest.raises(ModelError, match=r"not quantized to 8 bits.*is float32"):
        load_checked(made(tmp_path, "float32"))


def test_the_end_in_float_is_the_cpus(subject):
    file = read_litert(subject.model_file)
    assert [op.name for op in decoding_operators(file)] == [
        *("DEQUANTIZE", "DEQUANTIZE", "LOGISTIC", "TFLite_Detection_PostProcess")
    ]
    rules = check_rules(file)
    assert not [rule.rule for rule in rules if "PostProcess" in rule.rule]
    assert next(rule.passed for rule in rules if rule.rule == "tensors are quantized to 8 bits")
    raw = read_litert(tiny_model("ssd", "uint8"))
    assert decoding_operators(raw) == ()


def test_a_file_without_signature_has_the_names_of_its_tensors(subject):
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    graph = schema.ModelT.InitFromPackedBuf(subject.model_file.read_bytes(), 0)
    graph.signatureDefs = []
    file = read_litert(bytes(flatbuffer_utils.convert_object_to_bytearray(graph)))
    assert len(file.output_order) == 4
    assert set(file.output_order) == set(file.outputs)
