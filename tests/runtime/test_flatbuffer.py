"""Offsets of a .tflite are followed before LiteRT follows them."""

import inspect
import re

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from quantdet.errors import ModelError
from quantdet.runtime.contract import contract_path, load_contract
from quantdet.runtime.flatbuffer import TABLES, TEXT, verify_model
from tests.runtime.helpers import make_contract

UNIONS = {
    ("Operator", 4): schema.BuiltinOptions,
    ("Operator", 12): schema.BuiltinOptions2,
    ("QuantizationParameters", 5): schema.QuantizationDetails,
    ("DimensionMetadata", 3): schema.SparseIndexVector,
    ("DimensionMetadata", 5): schema.SparseIndexVector,
}


def field_of(accessor, place):
    """Return what an accessor of generated code reads: a Field, or None for a number."""
    table = re.search(r"obj = (\w+)\(\)", accessor)
    if "Table(bytearray(), 0)" in accessor:
        kinds = {v: k for k, v in vars(UNIONS[place]).items() if isinstance(v, int)}
        return {number: name for number, name in kinds.items() if name in TABLES}
    if "_tab.String(" in accessor:
        return TEXT
    if "_tab.Vector(o)" in accessor:
        return [table[1]] if table else int(re.search(r"py_type\(j \* (\d+)\)", accessor)[1])
    return table[1] if table else None


def generated_tables():
    """Return what TABLES should be, read off LiteRT's generated code."""
    classes = re.split(r"^class (\w+)\(object\):\n", inspect.getsource(schema), flags=re.M)
    tables = {}
    for name, body in zip(classes[1::2], classes[2::2], strict=True):
        for method, code in re.findall(
            r"    def (\w+)\(self(?:, j)?\):\n((?:  .*\n|\n)*?)\n", body
        ):
            slot = re.search(r"self\._tab\.Offset\((\d+)\)", code)
            if slot and not method.endswith(("Length", "IsNone", "AsNumpy")):
                number = (int(slot[1]) - 4) // 2
                field = field_of(code, (name, number))
                if field is not None:
                    tables.setdefault(name, {})[number] = field
    return tables


def test_the_tables_are_those_of_the_schema():
    assert generated_tables() == TABLES


def test_whole_models(models):
    for file in models.values():
        verify_model(file)


def test_every_cut_is_found(models, tmp_path):
    content = models["ssd-uint8"].read_bytes()
    for size in range(8, len(content) - 64, 40):
        (tmp_path / "cut.tflite").write_bytes(content[:size])
        with pytest.raises(ModelError, match=r"cut\.tflite: is no whole \.tflite .*copy it again"):
            verify_model(tmp_path / "cut.tflite")


def change(graph, what):
    tensors, operators = graph.subgraphs[0].tensors, graph.subgraphs[0].operators
    quantized = next(t for t in tensors if t.quantization is not None and t.type == 3)
    if what == "no buffers":
        graph.buffers = None
    elif what == "scale 0":
        quantized.quantization.scale = np.array([0.0], np.float32)
    elif what == "scale NaN":
        quantized.quantization.scale = np.array([np.nan], np.float32)
    elif what == "zero point":
        quantized.quantization.zeroPoint = np.array([256])
    elif what == "huge":
        quantized.shape = np.array([2**20, 2**20], np.int32)
    elif what == "no input":
        operators[-1].inputs = np.array([-1], np.int32)
    elif what == "signature":
        graph.signatureDefs[0].outputs[0].tensorIndex = 4_000_000
    elif what == "name":
        quantized.name = b"\xff\xfe"


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no buffers", "Model lacks its field 4"),
        ("scale 0", "a scale is out of range"),
        ("scale NaN", "a scale is out of range"),
        ("zero point", "a zero point is out of range"),
        ("huge", "is too large"),
        ("no input", "an operator lacks an input"),
        ("signature", "a signature names a tensor that is not there"),
        ("name", "can't decode byte 0xff"),
    ],
)
def test_what_crashes_litert_is_refused(own_model, what, says):
    from ai_edge_litert.tools import flatbuffer_utils

    graph = schema.ModelT.InitFromPackedBuf(own_model.read_bytes(), 0)
    change(graph, what)
    unknown = make_contract(own_model, "single").model_copy(update={"sha256": ""})
    flatbuffer_utils.write_model(graph, str(own_model))
    unknown.save(contract_path(own_model))
    with pytest.raises(ModelError, match=rf"model\.tflite: is no whole \.tflite \(.*{says}"):
        load_contract(own_model)


def references(builder, to, count):
    builder.StartVector(4, count, 4)
    for _ in range(count):
        builder.PrependUOffsetTRelative(to)
    return builder.EndVector()


def test_small_files_that_unfold_are_refused(tmp_path):
    builder = flatbuffers.Builder()
    numbers = builder.CreateNumpyVector(np.zeros(8000, np.int32))
    schema.OperatorStart(builder)
    schema.OperatorAddInputs(builder, numbers)
    schema.OperatorAddOutputs(builder, numbers)
    operators = references(builder, schema.OperatorEnd(builder), 2000)
    none = references(builder, 0, 0)
    schema.SubGraphStart(builder)
    for add in ("Tensors", "Inputs", "Outputs"):
        getattr(schema, f"SubGraphAdd{add}")(builder, none)
    schema.SubGraphAddOperators(builder, operators)
    graphs = references(builder, schema.SubGraphEnd(builder), 1)
    schema.ModelStart(builder)
    schema.ModelAddOperatorCodes(builder, none)
    schema.ModelAddSubgraphs(builder, graphs)
    schema.ModelAddBuffers(builder, none)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    (tmp_path / "bomb.tflite").write_bytes(builder.Output())
    with pytest.raises(ModelError, match=r"bomb\.tflite: .*Operator\.. overlaps with others"):
        verify_model(tmp_path / "bomb.tflite")
