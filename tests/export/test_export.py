"""Files are what was promised, or they are not written."""

from __future__ import annotations

import numpy as np
import pytest

from quantdet.errors import ExportError, ModelError
from quantdet.export.baselines import export_float, export_ptq
from quantdet.export.integer import export_integer
from quantdet.quant.freezing import freeze
from quantdet.quant.litert import writer
from quantdet.quant.litert.check_integer import check_integer
from quantdet.quant.litert_file import operator_counts, read_litert
from quantdet.quant.match import match_graph
from quantdet.quant.numerics import params_from_range
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.reader import read_graph
from tests.quant.cases import random_input, random_model

PIXELS = (-128 / 127.5, 127 / 127.5)


@pytest.fixture
def model():
    return random_model("two_outputs")


@pytest.fixture
def prepared(model):
    return prepare_qat(model, [random_input(model)], input_range=PIXELS)


@pytest.mark.parametrize("io_dtype", ["uint8", "int8"])
def test_interface_is_named_and_typed(prepared, io_dtype, tmp_path):
    file = read_litert(export_integer(prepared, tmp_path / "m.tflite", io_dtype=io_dtype))
    assert set(file.outputs) == {"boxes", "scores"}
    assert list(file.inputs) == ["image"]
    for index in (*file.inputs.values(), *file.outputs.values()):
        assert file.tensors[index].dtype == io_dtype
    scores = file.tensors[file.outputs["scores"]]
    assert scores.scales[0] == pytest.approx(1 / 256)
    assert scores.zero_point == (0 if io_dtype == "uint8" else -128)


def test_float_and_ptq_baselines(model, tmp_path):
    x = random_input(model)
    floats = read_litert(export_float(model, tmp_path / "f.tflite"))
    assert {t.dtype for t in floats.tensors} >= {"float32"}
    half = read_litert(export_float(model, tmp_path / "h.tflite", half=True))
    assert any(t.dtype == "float16" for t in half.tensors)
    integer = read_litert(export_ptq(model, tmp_path / "p.tflite", x))
    assert not any(t.dtype.startswith("float") for t in integer.tensors)


def test_float_file_computes_what_keras_does(model, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    x = random_input(model, count=1)
    runner = Interpreter(str(export_float(model, tmp_path / "f.tflite"))).get_signature_runner()
    found = runner(image=x)
    for name, values in model(x).items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


def test_float_file_is_refused_as_integer(model, tmp_path):
    content = export_float(model, tmp_path / "f.tflite").read_bytes()
    with pytest.raises(ExportError, match="not all integer"):
        check_integer(content, "uint8")


def test_wrong_interface_is_refused(prepared, tmp_path):
    content = export_integer(prepared, tmp_path / "m.tflite").read_bytes()
    with pytest.raises(ExportError, match="asked for was int8"):
        check_integer(content, "int8")


def test_other_weights_are_noticed(prepared, tmp_path):
    content = export_integer(prepared, tmp_path / "m.tflite").read_bytes()
    kernel = next(layer.kernel for layer in prepared.layers if hasattr(layer, "kernel_on_grid"))
    kernel.assign(np.array(kernel)[..., ::-1])
    with pytest.raises(ExportError, match="is not in the exported file"):
        match_graph(read_graph(freeze(prepared), clone=False), content)


def test_other_scale_is_noticed(prepared, tmp_path):
    content = export_integer(prepared, tmp_path / "m.tflite").read_bytes()
    quantizer = next(q for q in prepared.layers if getattr(q, "upper", None) == 6.0)
    quantizer.set_range(0.0, quantizer.params().maximum * 0.99)
    with pytest.raises(ExportError, match="trained with"):
        match_graph(read_graph(freeze(prepared), clone=False), content)


def test_keras_padding_is_fused_away(tmp_path):
    model = random_model("zero_padding")
    prepared = prepare_qat(model, [random_input(model)], input_range=PIXELS)
    counts = operator_counts(read_litert(export_integer(prepared, tmp_path / "m.tflite")))
    assert "PAD" not in counts


def test_not_a_tflite():
    with pytest.raises(ModelError, match=r"not a \.tflite"):
        read_litert(b"hello world, this is text")


def test_nothing_is_written_when_export_fails(tmp_path, prepared, monkeypatch):
    def refuse(*_):
        raise ExportError("no")

    monkeypatch.setattr("quantdet.quant.litert.writer.check_integer", refuse)
    with pytest.raises(ExportError):
        export_integer(prepared, tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == []


def test_micro_and_reference_kernels_agree_on_a_small_net(prepared, tmp_path):
    pytest.importorskip("tflite_micro")
    from quantdet.evaluate.end_to_end import micro_runner
    from quantdet.runtime.contract import InputSpec, TensorSpec

    path = export_integer(prepared, tmp_path / "m.tflite")
    file = read_litert(path)
    tensor = file.tensors[file.inputs["image"]]
    spec = InputSpec(
        tensor=TensorSpec(
            name="image",
            shape=tensor.shape,
            dtype="uint8",
            scale=float(tensor.scales[0]),
            zero_point=tensor.zero_point,
        ),
        size_hw=tensor.shape[1:3],
    )

    class Contract:
        input = spec

    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    runner = Interpreter(
        str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    ).get_signature_runner()
    run = micro_runner(path, Contract())
    for picture in (
        np.random.default_rng(0).integers(0, 256, (8, *tensor.shape[1:])).astype(np.uint8)
    ):
        expected = runner(image=picture[None])
        for name, values in run(picture).items():
            np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("bits", [8, 16])
def test_the_converter_computes_the_very_scale(bits):
    rng = np.random.default_rng(0)
    for _ in range(2000):
        low, high = sorted(rng.normal(0, 10 ** rng.uniform(-3, 3), 2).astype(np.float32))
        params = params_from_range(min(low, 0), max(high, 0), bits)
        low, high = writer._ends(params)
        steps = params.limits[1] - params.limits[0]
        assert np.float32((high - low) / steps) == np.float32(params.scale)
        assert low <= 0 <= high or min(abs(low), abs(high)) < params.scale / 100
