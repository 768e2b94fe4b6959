"""Operators that the converter does not write: put in, run by the kernels, compared with float."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro.python.tflite_micro import runtime

from quantdet.errors import ExportError
from quantdet.quant.litert.check_integer import _layers, check_integer
from quantdet.quant.litert.convert import convert, layer_scope
from quantdet.quant.litert.flatbuffer import read_model
from quantdet.quant.litert.integer_operators import as_operator, as_table, use_integer_kernels
from quantdet.quant.litert.writer import _integer_options
from quantdet.quant.litert_file import operator_counts, read_litert
from quantdet.quant.match import file_params
from quantdet.quant.numerics import dequantize, quantize
from quantdet.runtime.engine import KERNELS

SHAPE = (1, 4, 8, 8)
UNIT = 32767 / 32768


def on_grid(x, low, high, bits=8):
    if bits == 16:
        low, high = -max(-low, high), max(-low, high)
    return tf.quantization.fake_quant_with_min_max_args(x, low, high, bits, bits == 16)


def converted(function, bits, shapes=(SHAPE,)):
    """Return the .tflite of x0, x1, … → y as the converter writes it."""
    templates = [SimpleNamespace(name=f"x{i}", shape=shape) for i, shape in enumerate(shapes)]
    options = partial(_integer_options, "int16" if bits == 16 else "int8")

    def named(*inputs):
        return {"y": function(*inputs)}

    return convert(named, SimpleNamespace(input_templates=templates), options)


def run(content, kernels, inputs):
    """Return the integers of y for integers by input name."""
    file = read_litert(content)
    if kernels == "tflite-micro":
        micro = runtime.Interpreter.from_bytes(content, arena_size=1 << 20)
        names = {tensor: name for name, tensor in file.inputs.items()}
        for place, tensor in enumerate(read_model(content).subgraphs[0].inputs):
            micro.set_input(inputs[names[int(tensor)]], place)
        micro.invoke()
        return np.array(micro.get_output(0))
    resolver = OpResolverType[KERNELS[kernels]]
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    for name, tensor in file.inputs.items():
        interpreter.set_tensor(tensor, inputs[name])
    interpreter.invoke()
    return interpreter.get_tensor(file.outputs["y"])


def params_of(content):
    """Return (input name → grid, grid of y), uint8 view or int16."""
    file = read_litert(content)
    grids = {name: file_params(file.tensors[index]) for name, index in file.inputs.items()}
    return grids, file_params(file.tensors[file.outputs["y"]])


def softplus(x):
    return np.logaddexp(x, 0)


POINTWISE = {
    "elu": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
    "selu": lambda x: 1.0507 * np.where(x < 0, 1.67326 * np.expm1(np.minimum(x, 0)), x),
    "softplus": softplus,
    "mish": lambda x: x * np.tanh(softplus(x)),
    "erf": np.vectorize(math.erf),
    "square": np.square,
}


@pytest.mark.parametrize("name", POINTWISE)
def test_tables_are_the_fake_quantized_function_on_every_kernel_set(name):
    def function(x):
        return on_grid(as_table("layer")(on_grid(x, -4, 3)), -1.8, 5)

    content = use_integer_kernels(converted(function, 8), {"layer": POINTWISE[name]})
    check_integer(content, "int8")
    assert operator_counts(read_litert(content)) == {"CAST": 1, "ADD": 1, "GATHER": 1}
    integers = np.arange(-128, 128, dtype=np.int8).reshape(SHAPE)
    grids, grid = params_of(content)
    real = dequantize(integers.view(np.uint8) ^ 128, grids["x0"])
    expected = quantize(POINTWISE[name](real), grid).astype(int) - 128
    for kernels in (*KERNELS, "tflite-micro"):
        np.testing.assert_array_equal(run(content, kernels, {"x0": integers}), expected, kernels)


def test_one_table_for_two_layers_that_compute_the_same():
    def function(x):
        first, second = (on_grid(as_table(key)(on_grid(x, -4, 3)), -1, 3) for key in "ab")
        return on_grid(first + second, -2, 6)

    functions = dict.fromkeys("ab", POINTWISE["elu"])
    content = use_integer_kernels(converted(function, 8), functions)
    check_integer(content, "int8")
    tables = [t for t in read_litert(content).tensors if t.data is not None and t.shape == (256,)]
    assert len(tables) == 1


def test_tables_of_16_bits():
    def function(x):
        return on_grid(as_table("layer")(on_grid(x, -4, 3, 16)), -1, 4, 16)

    content = use_integer_kernels(converted(function, 16), {"layer": POINTWISE["elu"]})
    check_integer(content, "int16")
    integers = np.linspace(-32767, 32767, 256).astype(np.int16).reshape(SHAPE)
    grids, grid = params_of(content)
    expected = quantize(POINTWISE["elu"](dequantize(integers, grids["x0"])), grid)
    for kernels in KERNELS:
        np.testing.assert_array_equal(run(content, kernels, {"x0": integers}), expected)


def test_a_refusal_names_the_layer_of_float_tensors_and_the_operators():
    def function(x):
        with tf.name_scope(layer_scope("my log")):
            x = tf.math.log(on_grid(x, 1, 4))
        return tf.math.cos(x)

    with pytest.raises(ExportError, match=r"of the layers 'my\.log'; operators .*: COS, .*LOG"):
        check_integer(converted(function, 8), "int8")


def test_a_function_that_is_not_a_number_in_its_range_is_refused():
    def function(x):
        return on_grid(as_table("my_log")(on_grid(x, -1, 4)), -4, 2)

    with (
        np.errstate(invalid="ignore", divide="ignore"),
        pytest.raises(ExportError, match=r"'my_log'.* at -1"),
    ):
        use_integer_kernels(converted(function, 8), {"my_log": np.log})


BORDER = np.array([[0, 0], [1, 0], [2, 1], [0, 0]], np.int32)
PER_CHANNEL = np.linspace(-0.9, 0.7, 8).astype(np.float32)


def filled(a, border, value):
    return tf.pad(a, border, constant_values=value)


CONCATENATION = as_operator("CONCATENATION", lambda a, b: tf.concat([a, b], -1), axis=3)
RELU6 = as_operator("RELU6", lambda a: tf.clip_by_value(a, 0.0, 6.0))
PADV2 = as_operator("PADV2", filled)
ADD = as_operator("ADD", lambda a, b: a + b)
SUB = as_operator("SUB", lambda a, b: a - b)
MUL = as_operator("MUL", lambda a, b: a * b)
# Operator → (written so, the float function, largest difference in steps: measured).
WIDE = {
    "CONCATENATION": (CONCATENATION, lambda a, b: np.concatenate([a, b], -1), 0),
    "RELU6": (RELU6, lambda a: np.clip(a, 0, 6), 0),
    "PADV2": (
        lambda a: PADV2(a, BORDER, -1.5),
        lambda a: np.pad(a, BORDER, constant_values=-1.5),
        0,
    ),
    "ADD": (lambda a: ADD(a, PER_CHANNEL), lambda a: a + PER_CHANNEL, 1),
    "SUB": (lambda a: SUB(PER_CHANNEL, a), lambda a: PER_CHANNEL - a, 1),
    "MUL": (lambda a: MUL(a, PER_CHANNEL), lambda a: a * PER_CHANNEL, 1),
}


def wide_inputs(content):
    random = np.random.default_rng(0)
    names = sorted(read_litert(content).inputs)
    return {name: random.integers(-32767, 32768, SHAPE).astype(np.int16) for name in names}


@pytest.mark.parametrize("name", WIDE)
def test_int16_operators_that_the_converter_refuses(name):
    written, function, most = WIDE[name]
    operands = 2 if name == "CONCATENATION" else 1

    def network(*inputs):
        return on_grid(written(*(on_grid(x, -8, 8, 16) for x in inputs)), -8, 8, 16)

    content = use_integer_kernels(converted(network, 16, [SHAPE] * operands))
    check_integer(content, "int16")
    assert operator_counts(read_litert(content)) == {name: 1}
    inputs = wide_inputs(content)
    grids, grid = params_of(content)
    expected = quantize(function(*(dequantize(q, grids[n]) for n, q in inputs.items())), grid)
    for kernels in KERNELS:
        difference = run(content, kernels, inputs).astype(int) - expected
        assert abs(difference).max() <= most, kernels


def test_a_concatenation_of_two_scales_is_refused():
    # The kernel would copy the integers, whatever they stand for.
    def network(a, b):
        return on_grid(CONCATENATION(on_grid(a, -8, 8, 16), on_grid(b, -1, 1, 16)), -8, 8, 16)

    content = use_integer_kernels(converted(network, 16, [SHAPE] * 2))
    with pytest.raises(ExportError, match="DEQUANTIZE, QUANTIZE, quantdet"):
        check_integer(content, "int16")


def test_int16_operators_in_an_8_bit_net_are_refused():
    def network(a, b):
        return on_grid(CONCATENATION(on_grid(a, -8, 8), on_grid(b, -8, 8)), -8, 8)

    with pytest.raises(ExportError, match="CONCATENATION"):
        check_integer(use_integer_kernels(converted(network, 8, [SHAPE] * 2)), "int8")


def test_unknown_operators_are_refused():
    with pytest.raises(ValueError, match="GELU is none of CONCATENATION, PADV2"):
        as_operator("GELU", tf.nn.gelu)


# Largest difference in steps of 1/32768, measured: 1, 2 and 6 with the reference kernels; the
# optimized ones are coarser.
UNITS = {"LOGISTIC": (tf.sigmoid, 5), "TANH": (tf.tanh, 11), "SOFTMAX": (tf.nn.softmax, 6)}


@pytest.mark.parametrize("name", UNITS)
def test_int16_activations_of_fixed_scale_are_one_operator(name):
    function, most = UNITS[name]

    def network(x):
        return on_grid(function(on_grid(x, -8, 8, 16)), -UNIT, UNIT, 16)

    content = use_integer_kernels(converted(network, 16))
    check_integer(content, "int16")
    assert operator_counts(read_litert(content)) == {name: 1}
    inputs = wide_inputs(content)
    grids, grid = params_of(content)
    assert grid.scale == 1 / 32768
    expected = quantize(function(dequantize(inputs["x0"], grids["x0"])).numpy(), grid)
    for kernels in (*KERNELS, "tflite-micro"):
        difference = run(content, kernels, inputs).astype(int) - expected
        assert abs(difference).max() <= most, kernels


def test_a_quantize_to_another_scale_stays():
    def network(x):
        return on_grid(tf.tanh(on_grid(x, -8, 8, 16)), -4, 4, 16)

    content = use_integer_kernels(converted(network, 16))
    assert operator_counts(read_litert(content)) == {"TANH": 1, "QUANTIZE": 1}


@pytest.mark.parametrize(
    "function",
    [lambda x: tf.nn.depth_to_space(x, 2), lambda x: tf.tile(x, [1, 2, 1, 1])],
    ids=["depth_to_space", "tile"],
)
def test_versions_that_the_reference_kernels_know(function):
    content = converted(lambda x: on_grid(function(on_grid(x, -1, 1)), -1, 1), 8)
    integers = np.arange(-128, 128, dtype=np.int8).reshape(SHAPE)
    with pytest.raises(ValueError, match="Didn't find op"):
        run(content, "reference", {"x0": integers})
    content = use_integer_kernels(content)
    expected = function(tf.constant(integers.astype(np.float32))).numpy()
    for kernels in KERNELS:
        np.testing.assert_array_equal(run(content, kernels, {"x0": integers}), expected)


def test_what_nothing_reads_is_dropped():
    def network(x):
        return on_grid(as_table("a")(on_grid(tf.nn.relu(on_grid(x, -4, 4)), 0, 4)), 0, 4)

    model = read_model(use_integer_kernels(converted(network, 8), {"a": np.sqrt}))
    (graph,) = model.subgraphs
    used = {int(t) for op in graph.operators for t in (*op.inputs, *op.outputs)}
    assert used == set(range(len(graph.tensors)))
    assert {op.opcodeIndex for op in graph.operators} == set(range(len(model.operatorCodes)))
    owners = [*graph.tensors, *model.metadata]
    assert {0, *(owner.buffer for owner in owners)} == set(range(len(model.buffers)))


def test_operators_with_wrong_kernels_are_refused():
    def quotient(a, b):
        return on_grid(on_grid(a, -1, 1) / on_grid(b, 0, 2), -4, 4)

    content = converted(quotient, 8, [SHAPE] * 2)
    # -1 step / 163 steps is 0, the kernels say -128; should they be mended, drop the refusal.
    inputs = {
        "x0": np.full(SHAPE, -1, np.int8),
        "x1": np.full(SHAPE, 35, np.int8),
    }
    assert (run(content, "xnnpack", inputs) == -128).all()
    with pytest.raises(ExportError, match=r"quantized DIV: .* multiply by the reciprocal"):
        check_integer(content, "int8")


def test_sums_that_the_reference_kernels_compute_from_other_integers_are_refused():
    def total(x):
        return on_grid(tf.reduce_sum(on_grid(x, -1, 0.5), -1), -7, 4)

    content = converted(total, 8)
    results = [run(content, kernels, {"x0": np.full(SHAPE, -8, np.int8)}) for kernels in KERNELS]
    assert (results[0] == results[1]).all()
    assert (results[0] != results[2]).all()
    with pytest.raises(ExportError, match=r"quantized SUM: .* multiply a mean by the count"):
        check_integer(content, "int8")


def test_tensors_of_several_layers_name_them_all():
    tensors = ["conv/Conv2D;bn/Add", "conv/BiasAdd", "serving_default_x"]
    assert _layers(tensors) == ["'conv'", "'bn'"]
