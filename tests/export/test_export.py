"""Files are what was promised, or they are not written."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from quantdet.errors import ExportError, ModelError
from quantdet.export.baselines import export_float, export_ptq
from quantdet.export.integer import export_integer
from quantdet.quant.freezing import freeze
from quantdet.quant.layers import ActivationQuantizer, QuantizedWeights
from quantdet.quant.litert.check_integer import check_integer
from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.litert.writer import exact_ends, integer_content
from quantdet.quant.litert_file import operator_counts, read_litert
from quantdet.quant.match import file_kernel, match_graph
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.reader import read_graph
from tests.quant.cases import random_input, random_model

resource = None
with suppress(ImportError):  # Windows
    import resource

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
    for name in ("f", "h", "p"):
        file = EditableFile((tmp_path / f"{name}.tflite").read_bytes())
        assert {op.opcodeIndex for op in file.operators} == set(
            range(len(file.model.operatorCodes))
        )


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
    with pytest.raises(ExportError, match="but int8 was requested"):
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


@pytest.mark.skipif(resource is None, reason="no limits of this kind")
def test_a_full_disk_for_temporary_files(tmp_path, prepared):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(ExportError, match=r"cannot write .*: File too large; free space"):
            export_integer(prepared, tmp_path / "m.tflite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
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


@pytest.mark.parametrize(("least", "largest"), [(-128, 127), (-32767, 32767), (-127, 127), (-7, 7)])
def test_the_ends_give_the_very_scale(least, largest):
    rng = np.random.default_rng(0)
    scale = (10 ** rng.uniform(-6, 3, 100_000)).astype(np.float32)
    # Half of the 8 bit ranges begin at 0, as behind a ReLU.
    zero_point = rng.integers(least, largest, scale.size) * rng.integers(0, 2, scale.size)
    zero_point = np.where(zero_point, zero_point, least) if least == -128 else 0 * scale
    low, high = ((end - zero_point).astype(np.float32) * scale for end in (least, largest))
    steps = largest - least
    plain = ((high.astype(np.float64) - low) / steps).astype(np.float32)
    assert 0.5 < (plain == scale).mean() < 1  # else there is nothing to correct
    near_low, near_high = exact_ends(low, high, scale, steps)
    found = ((near_high.astype(np.float64) - near_low) / steps).astype(np.float32)
    np.testing.assert_array_equal(found, scale)
    for near, end in ((near_low, low), (near_high, high)):
        assert (np.abs(near - end) / (high - low)).max() < 3e-7
        assert near.dtype == np.float32


def test_scales_of_the_file_are_the_trained_ones():
    model = random_model("depthwise_multiplier")
    frozen = freeze(prepare_qat(model, [random_input(model)], trial_export=False))
    graph = read_graph(frozen, clone=False)
    content = integer_content(frozen)
    file = read_litert(content)
    for tensor, index in match_graph(graph, content).items():
        quantizer = graph.producers()[tensor].layer
        if isinstance(quantizer, ActivationQuantizer):
            assert file.tensors[index].scales[0] == np.float32(quantizer.params().scale)
    kernels = {t.data.tobytes(): t for t in file.tensors if t.data is not None and t.data.size}
    weighted = [n.layer for n in graph.nodes if isinstance(n.layer, QuantizedWeights)]
    for layer in weighted:
        written = kernels[file_kernel(layer).astype(np.int8).tobytes()]
        np.testing.assert_array_equal(written.scales, np.ravel(layer.weight_scale()))
    assert weighted
