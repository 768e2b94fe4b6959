"""Bare operations, and layers of several operators: the file computes what Keras computes."""

# Each net needs layers of its own.
# ruff: noqa: PLW0108

from __future__ import annotations

import keras
import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import TensorType
from keras import layers as kl
from keras import ops

from quantdet.errors import ExportError, QuantizationError, QuantizationWarning
from quantdet.quant.fold import fold_batch_norm
from quantdet.quant.freezing import freeze
from quantdet.quant.judge import compare_with_float
from quantdet.quant.litert.flatbuffer import pack_model, read_model
from quantdet.quant.litert.run import run_litert
from quantdet.quant.litert.writer import integer_content
from quantdet.quant.match import match_graph
from quantdet.quant.prepare import prepare_qat
from quantdet.quant.reader import read_graph
from tests.quant.judge import sqnr_db

TOKENS = kl.Reshape((64, 8))


def padded_twice(y):
    """One padding, read by a pooling and by a convolution that can take it in."""
    padded = kl.ZeroPadding2D(((0, 1), (0, 1)))(y)
    return kl.Add()([kl.MaxPooling2D(2, 1)(padded), kl.Conv2D(8, 2)(padded)])


# Name → (function of a picture of 8 x 8 x 8, least dB of the file); measured 3 dB higher or more.
FORMS = {
    "attention": (lambda y: kl.MultiHeadAttention(2, 4)(TOKENS(y), TOKENS(y)), 30),
    "dot_attention": (lambda y: kl.Attention()([TOKENS(y), TOKENS(y)]), 29),
    "layer_normalization": (lambda y: kl.LayerNormalization(epsilon=1e-6)(y), 30),
    "group_normalization": (lambda y: kl.GroupNormalization(4)(y), 28),
    "unit_normalization": (lambda y: kl.UnitNormalization()(y), 31),
    "rms_normalization": (lambda y: kl.RMSNormalization()(y), 31),
    "normalization_of_rows": (
        lambda y: kl.Normalization(axis=1, mean=np.arange(8) / 8, variance=np.arange(1, 9) / 4)(y),
        32,
    ),
    "variance": (lambda y: ops.var(y, axis=(1, 2)), 36),
    "deviation": (lambda y: ops.std(y, axis=-1), 36),
    "elu": (lambda y: kl.ELU(0.7)(y), 33),
    "selu": (lambda y: kl.Activation("selu")(y), 32),
    "gelu": (lambda y: kl.Activation("gelu")(y), 32),
    "softplus": (lambda y: kl.Activation("softplus")(y), 40),
    "softsign": (lambda y: kl.Activation("softsign")(y), 32),
    "mish": (lambda y: kl.Activation("mish")(y), 31),
    "relu_of_four": (lambda y: kl.ReLU(4.0)(y), 31),
    "clip": (lambda y: ops.clip(y, -0.5, 0.7), 36),
    "quotient": (lambda y: y / (ops.abs(y) + 1), 32),
    "causal_conv1d": (lambda y: kl.Conv1D(8, 3, padding="causal")(TOKENS(y)), 31),
    "separable_conv1d": (lambda y: kl.SeparableConv1D(8, 3, strides=2)(TOKENS(y)), 30),
    "conv1d_transpose": (lambda y: kl.Conv1DTranspose(8, 3, strides=2)(TOKENS(y)), 31),
    "pool1d": (lambda y: kl.GlobalAveragePooling1D()(kl.MaxPooling1D(2)(TOKENS(y))), 33),
    "upsampling1d": (lambda y: kl.UpSampling1D(2)(TOKENS(y)), 34),
    "einsum": (lambda y: ops.einsum("bhwc,bhvc->bhwv", y, y), 33),
    "average_of_three": (lambda y: kl.Average()([y, y * 2, y + 1]), 32),
    "softmax_of_rows": (lambda y: kl.Softmax(axis=1)(y), 35),
    "sum": (lambda y: ops.sum(y, axis=(1, 2)), 34),
    "mean_of_channels": (lambda y: ops.mean(y, axis=-1, keepdims=True), 33),
    "split": (lambda y: ops.multiply(*ops.split(y, 2, -1)), 30),
    "convolutions_of_a_split": (
        lambda y: ops.concatenate([kl.Conv2D(3, 1)(part) for part in ops.split(y, 4, -1)], -1),
        31,
    ),
    "backwards": (lambda y: y[..., ::-1] * 0.5, 32),
    "every_other_pixel": (lambda y: ops.concatenate([y[:, ::2, ::2], y[:, 1::2, ::2]], -1), 33),
    "constant_map": (
        lambda y: y + np.linspace(0, 1, 512).reshape(1, 8, 8, 8).astype("float32"),
        33,
    ),
    "update_of_a_part": (lambda y: ops.slice_update(y, (0, 1, 1, 0), y[:, :3, :3]), 33),
    "reflected_border": (lambda y: ops.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]], "reflect"), 33),
    "border_of_one": (
        lambda y: ops.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.0),
        31,
    ),
    "repeat": (lambda y: ops.repeat(y, 2, axis=1), 33),
    "space_to_depth": (lambda y: ops.space_to_depth(y, 2), 33),
    "lambda": (lambda y: kl.Lambda(lambda v: v * 2.0 + 1.0)(y), 32),
    "choice": (lambda y: ops.where(y > 0.2, y, 0.5 * y), 29),
    "choice_of_tensors": (lambda y: ops.where(y <= y[..., ::-1], y, y[..., ::-1]), 33),
    "choice_of_numbers": (lambda y: y + ops.where(ops.relu(y) == 0.0, 1.0, 0.0), 28),
    "constant_choice": (
        lambda y: ops.where(np.eye(8, dtype=bool)[None, :, :, None], y, 0.5 * y),
        32,
    ),
    "constant_choice_of_channels": (lambda y: ops.where(np.arange(8) > 3, y, 0.7), 32),
    "truths": (lambda y: y * ops.cast(ops.logical_not(y < 0.0) & (y <= 9.0), "float32"), 30),
    "product_with_itself": (
        lambda y: ops.relu(TOKENS(y) @ ops.transpose(TOKENS(y) * 0.37, (0, 2, 1))),
        29,
    ),
    "nothing_added": (lambda y: kl.Conv2D(3, 1)(y + np.zeros((8, 8, 1), "float32")), 31),
    "zeros_that_spread": (
        lambda y: ops.mean(y, axis=(1, 2), keepdims=True) + np.zeros((1, 8, 8, 8), "float32"),
        30,
    ),
    "bias_of_columns": (
        lambda y: kl.EinsumDense("bhwc,cde->bhwde", (8, 8, 2, 3), "elu", bias_axes="de")(y),
        30,
    ),
    "bias_of_rows": (
        lambda y: kl.EinsumDense("bhwc,cd->bhwd", (8, 8, 4), bias_axes="wd")(y),
        30,
    ),
    "factor_of_each_channel": (
        lambda y: kl.EinsumDense("bhwc,c->bhwc", (8, 8, 8), bias_axes="c")(y),
        30,
    ),
    "padding_of_two": (padded_twice, 31),
    "uneven_split": (lambda y: ops.array_split(y, 3, -1)[2] * 1.5, 32),
    "side_by_side": (lambda y: ops.dstack([ops.hstack([y, y * 0.5])] * 2), 32),
    "center_crop": (lambda y: kl.CenterCrop(5, 8)(y), 32),
    "adaptive_pool": (lambda y: kl.AdaptiveAveragePooling2D((2, 4))(y), 32),
    "adaptive_pool1d": (lambda y: kl.AdaptiveMaxPooling1D(4)(TOKENS(y)), 32),
    "power": (lambda y: y**3 + ops.relu(y) ** 1.5, 23),
    "length": (lambda y: ops.norm(y, axis=-1, keepdims=True), 32),
    "log_softmax": (lambda y: kl.Activation("log_softmax")(y), 32),
    "log_sum_exp": (lambda y: ops.logsumexp(y, axis=(1, 2)), 32),
    "default_epsilons": (
        lambda y: ops.rms_normalization(y) + ops.layer_normalization(y) + ops.normalize(y),
        28,
    ),
    "random_flip": (lambda y: kl.RandomFlip()(y), 33),
}


def net(build):
    keras.utils.set_random_seed(0)
    picture = keras.Input((8, 8, 3), name="image")
    model = keras.Model(picture, build(kl.Conv2D(8, 3, padding="same", name="stem")(picture)))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith("gamma"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        if weight.path.endswith(("beta", "bias")):
            weight.assign(rng.normal(0, 0.2, weight.shape))
    return model, rng.uniform(-1, 1, (16, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("name", FORMS)
def test_the_file_computes_what_keras_computes(name):
    build, least = FORMS[name]
    model, x = net(build)
    prepared = prepare_qat(model, x, observer="minmax", trial_export=False)
    assert compare_with_float(model, prepared, x).worst_db >= least
    found = run_litert(integer_content(prepared), {"image": x})["output_0"]
    assert sqnr_db(model.predict(x, verbose=0), found) >= least


TABLES = {
    "hard_shrink": ops.hard_shrink,
    "soft_shrink": lambda y: ops.soft_shrink(y, 0.3),
    "sparse_plus": ops.sparse_plus,
    "squareplus": lambda y: ops.squareplus(y, b=2),
    "arctan": ops.arctan,
    "sinh": ops.sinh,
    "cosh": ops.cosh,
    "arcsinh": ops.arcsinh,
    "expm1": ops.expm1,
    "log1p": lambda y: ops.log1p(ops.abs(y)),
    "nan_to_num": ops.nan_to_num,
}


# It jumps: a value near the threshold falls to the other side.
LEAST_OF_TABLES = {"hard_shrink": 17}


def test_the_file_has_a_table_of_each_function():
    model, x = net(lambda y: {name: function(y) for name, function in TABLES.items()})
    prepared = prepare_qat(model, x, observer="minmax", trial_export=False)
    found = run_litert(integer_content(prepared), {"image": x})
    for name, wanted in model.predict(x, verbose=0).items():
        assert sqnr_db(wanted, found[name]) >= LEAST_OF_TABLES.get(name, 27), name


# Attention to noise is a mean of nothing.
LEAST_DB = 20


# What Keras starts from, zeros and ones, is left out by LiteRT's converter.
@pytest.mark.parametrize("name", ["attention", "layer_normalization", "bias_of_rows"])
def test_untrained_layers_become_files(name):
    picture = keras.Input((8, 8, 8))
    model = keras.Model(picture, FORMS[name][0](picture))
    x = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 8)).astype(np.float32)
    assert compare_with_float(model, prepare_qat(model, x), x).worst_db >= LEAST_DB


def test_a_bias_of_columns_is_trained_as_that_of_a_dense_layer():
    model, x = net(FORMS["attention"][0])
    names = {layer.name for layer in prepare_qat(model, x, trial_export=False).layers}
    assert not [name for name in names if name.endswith("constant")]


def test_layers_that_cannot_be_copied():
    nothing, conv = kl.Identity(), kl.Conv2D(3, 1, name="mine")
    nothing.get_config = _no_config
    model, x = net(lambda y: conv(nothing(y)))
    assert compare_with_float(model, prepare_qat(model, x), x).worst_db > 30
    conv.get_config = _no_config
    with pytest.raises(QuantizationError, match=r"'mine' \(Conv2D\) does not say how it was made"):
        prepare_qat(model, x, trial_export=False)


def _no_config(*_):
    raise NotImplementedError


def test_nested_outputs_are_refused():
    model, x = net(lambda y: {"levels": [y, kl.ReLU()(y)], "all": y})
    with pytest.raises(QuantizationError, match="output 'levels' holds several tensors"):
        prepare_qat(model, x, trial_export=False)


def test_an_input_that_never_changes_is_reported():
    model, x = net(kl.ReLU())
    with pytest.warns(QuantizationWarning, match="input 'image' is 0.5 in every picture"):
        prepare_qat(model, np.full_like(x, 0.5), trial_export=False)


def test_names_of_parts_do_not_depend_on_the_session():
    names = []
    for _ in range(2):
        model, x = net(lambda y: kl.LayerNormalization(name="norm")(y))
        names.append([la.name for la in prepare_qat(model, x, trial_export=False).layers])
    assert names[0] == names[1]
    assert {"norm", "norm_layer_norm_mat_mul"} <= set(names[0])


def test_the_given_model_is_not_changed_by_taking_it_apart():
    model, x = net(FORMS["attention"][0])
    before = [len(layer._inbound_nodes) for layer in model._flatten_layers()]
    prepare_qat(model, x, trial_export=False)
    assert [len(layer._inbound_nodes) for layer in model._flatten_layers()] == before


# Names of what is refused → (function of a picture, words of the refusal).
REFUSED = {
    "numbers as a condition": (lambda y: ops.where(ops.relu(y), y, 0.5), "compare them: x != 0"),
    "not of numbers": (lambda y: y * ops.cast(ops.logical_not(y), "float32"), "compare them"),
    "a number and a truth": (
        lambda y: y * ops.cast(ops.logical_and(y > 0, y), "float32"),
        "compare them",
    ),
    "a sum of truths": (lambda y: y * ops.cast((y > 0) + (y < 1), "float32"), "logical_or"),
    "a loop over time": (lambda y: kl.Bidirectional(kl.GRU(3))(TOKENS(y)), "repeats over time"),
    "a pooling of parts": (lambda y: kl.AdaptiveMaxPooling2D(3)(y), "only whole multiples"),
    "a larger crop": (lambda y: kl.CenterCrop(9, 8)(y), "larger pictures"),
    "an exponent below -1": (lambda y: (y + 2.0) ** -3, "has the exponent -3"),
    "the norm of a matrix": (lambda y: ops.norm(y, 2, axis=(1, 2)), "only the 2-norm"),
    "an unknown operation": (lambda y: ops.cumsum(y, axis=1), "no integer form; write it with"),
    "a mask": (lambda y: kl.Softmax(axis=1)(y, mask=np.ones((8, 8, 8), bool)), "has a mask"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_another_function_is_refused(name):
    build, words = REFUSED[name]
    model, x = net(build)
    with pytest.raises(QuantizationError, match=words):
        prepare_qat(model, x, trial_export=False)


@pytest.mark.parametrize("kernel", ["he_normal", "zeros"])
@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_twins_of_one_kernel_are_told_apart(kernel, bias):
    def build(y):
        twins = [kl.Conv2D(3, 3, kernel_initializer=kernel, name=f"twin_{i}")(y) for i in range(3)]
        return [twins[0], kl.Activation("sigmoid")(twins[1]), kl.ReLU(6.0)(twins[2])]

    model, x = net(build)
    weights = model.get_layer("twin_0").get_weights()[0]
    for number in range(3):
        values = np.float32([0.3, -0.2, 0.5]) + bias * number
        model.get_layer(f"twin_{number}").set_weights([weights, values])
    prepared = prepare_qat(model, x, observer="minmax", trial_export=False)
    found = run_litert(integer_content(prepared), {"image": x})
    for number, wanted in enumerate(model.predict(x, verbose=0)):
        assert sqnr_db(wanted, found[f"output_{number}"]) > 30


@pytest.mark.parametrize("number", [0, 1])
def test_another_bias_in_the_file_is_found(number):
    model, x = net(lambda y: kl.Conv2D(4, 1, name="head")(y))
    prepared = prepare_qat(model, x, observer="minmax", trial_export=False)
    content = read_model(integer_content(prepared))
    (tensors,) = (graph.tensors for graph in content.subgraphs)
    biases = [tensor for tensor in tensors if tensor.type == TensorType.INT32]
    buffer = content.buffers[biases[number].buffer]
    values = np.frombuffer(bytes(buffer.data), np.int32) + np.int32(500)
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    with pytest.raises(ExportError, match="bias 0 is"):
        match_graph(read_graph(freeze(prepared), clone=False), pack_model(content))


def test_equal_biases_keep_their_values():
    # LiteRT's converter rounds biases that are all the same with the scale of the first channel.
    model, x = net(lambda y: kl.Conv2D(4, 1, bias_initializer="ones")(y))
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * [1.0, 2.0, 4.0, 8.0], np.ones_like(bias)])
    prepared = prepare_qat(model, x, observer="minmax", trial_export=False)
    found = run_litert(integer_content(prepared), {"image": x})["output_0"]
    assert sqnr_db(model.predict(x, verbose=0), found) > 30


LENGTHS = np.linspace(-1, 1, 8, dtype=np.float32)
CONSTANTS = {"row": (8, 1, 1), "column": (8, 1), "flat column": (1, 8, 1), "channel": (8,)}
SHAPES = [(8, 8, 1), (8, 8, 3), (8, 7, 8), (7, 8, 8), (7, 8, 3), (8, 5)]


def _go_together(constant, shape):
    ends = zip(reversed(constant), reversed(shape), strict=False)
    return len(constant) <= len(shape) and all(1 in pair or pair[0] == pair[1] for pair in ends)


@pytest.mark.parametrize(
    ("constant", "shape"),
    [
        (name, shape)
        for name in CONSTANTS
        for shape in SHAPES
        if _go_together(CONSTANTS[name], shape)
    ],
)
@pytest.mark.parametrize("operation", ["add", "subtract", "multiply", "front"])
def test_constants_meet_the_axis_that_keras_takes(operation, constant, shape):
    values = LENGTHS.reshape(CONSTANTS[constant])
    functions = {
        "add": lambda a: a + values,
        "subtract": lambda a: a - values,
        "multiply": lambda a: a * values,
        "front": lambda a: ops.add(values, a),
    }
    image = keras.Input(shape)
    model = keras.Model(image, functions[operation](image))
    x = np.random.default_rng(1).uniform(-1, 1, (3, *shape)).astype(np.float32)
    np.testing.assert_allclose(fold_batch_norm(model)(x), model(x), atol=1e-6)
