"""Random nets out of all layers and options: refused by name, or right from end to end.

A fault that was found is kept in FOUND as a short program: the net of an integer changes with
every row of the generator's table.
"""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from quantdet.errors import ExportError, QuantizationError
from quantdet.export import integer
from quantdet.quant import prepare
from quantdet.quant.calibrate import quantizer_before
from quantdet.quant.reader import read_graph
from tests.quant.judge import Verdict, check_file, check_simulation, judge, simulation_of
from tests.quant.random_nets import Net, UnbuildableError, random_net, run_program

# At least so many of the nets are taken: a quantizer that refuses everything is never wrong.
LEAST_TAKEN = 0.5


def _judge_random_nets(count: int, seeds: st.SearchStrategy[int]) -> list[Verdict]:
    verdicts = []

    # Integers have nothing to shrink; without that, the first fault is shown at once.
    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=seeds)
    def every_net(seed: int) -> None:
        try:
            net = random_net(seed)
        except UnbuildableError:
            reject()
        verdicts.append(judge(net))

    every_net()
    return verdicts


def _check_taken(verdicts: list[Verdict]) -> None:
    refusals = [verdict.refusal for verdict in verdicts if verdict.refusal is not None]
    assert len(refusals) <= (1 - LEAST_TAKEN) * len(verdicts), "\n".join(refusals)


def test_random_nets_are_right_or_refused():
    _check_taken(_judge_random_nets(24, st.integers(0, 2**32 - 1)))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_thousand_random_nets_are_right_or_refused():
    _check_taken(_judge_random_nets(1000, st.integers(2**32, 2**33 - 1)))


def test_a_net_follows_from_its_integer():
    first, second = random_net(13), random_net(13)
    assert str(first) == str(second)
    for name, values in first.expected.items():
        np.testing.assert_array_equal(values, second.expected[name])
    assert str(random_net(12)) != str(first)


_PICTURE = """
data_a = (pixels((8, 7, 3), 1) - 128) / 127.5
a = keras.Input((8, 7, 3), name="a")
t = kl.Conv2D(3, 3, padding="same")(a)
"""
_PIXELS = """
data_a = pixels((8, 7, 3), 1)
a = keras.Input((8, 7, 3), name="a")
"""
_VECTOR = """
data_a = (pixels((9,), 1) - 128) / 127.5
a = keras.Input((9,), name="a")
t = kl.Dense(4)(a)
"""
_ROWS = """
data_a = (pixels((7, 3), 1) - 128) / 127.5
a = keras.Input((7, 3), name="a")
t = a + 0.4
"""
_FOUND = {
    # Computed another function, unnoticed.
    "adapted normalization": (_PIXELS, "y = adapted(kl.Normalization(), data_a)(a)"),
    "offset before a padded convolution": (
        _PIXELS,
        "y = kl.Conv2D(3, 3, padding='same')(kl.Rescaling(1 / 127.5, offset=-1.0)(a))",
    ),
    "offset in the middle before a padded convolution": (
        _PICTURE,
        "y = kl.Conv2D(3, 3, padding='same')(1.0 - kl.Activation('tanh')(t))",
    ),
    "look-alike of relu": (_PICTURE, "y = kl.Conv2D(3, 3, activation=own_relu)(t)"),
    "look-alike of hard_sigmoid": (_PICTURE, "y = kl.Activation(own_hard_sigmoid)(t)"),
    "look-alike of silu": (_PICTURE, "y = kl.Activation(own_swish)(t)"),
    "resizing that crops": (_PICTURE, "y = kl.Resizing(4, 7, crop_to_aspect_ratio=True)(t)"),
    "resizing that pads": (_PICTURE, "y = kl.Resizing(5, 6, pad_to_aspect_ratio=True)(t)"),
    "resizing against aliases": (_PICTURE, "y = kl.Resizing(4, 4, antialias=True)(t)"),
    "upsampling of channels first": (
        _PICTURE,
        "y = kl.UpSampling2D(2, data_format='channels_first')(t)",
    ),
    # LiteRT could not load the file.
    "an input that is an output": (_PICTURE, "y = [kl.Conv2D(2, 3)(a), kl.Dropout(0.5)(a)]"),
    "a pooled input that is an output": (_PICTURE, "y = [kl.AveragePooling2D(2)(a), a]"),
    "an input that is an output by moves that undo each other": (
        _PICTURE,
        "y = [kl.Conv2D(2, 3)(a), ops.squeeze(ops.expand_dims(a, 1), 1),\n"
        "     kl.Permute((2, 1, 3))(kl.Permute((2, 1, 3))(a))]",
    ),
    "an input that is an output by a reshape that changes nothing": (
        _PICTURE,
        "y = [kl.BatchNormalization()(a), kl.Reshape((8, 7, 3))(a)]",
    ),
    "a dead relu": (_PIXELS, "y = kl.ReLU()(kl.Conv2D(2, 3)(a) - 9999.0)"),
    # Right, but judged noisier than its scales: all of its values are 1, a step beyond the grid.
    "softmax of single values": (
        _PICTURE,
        "y = ops.softmax(ops.max(kl.Activation('mish')(a), axis=-1, keepdims=True))",
    ),
    # Tracebacks.
    "normalization on two axes": (
        _PIXELS,
        "y = adapted(kl.Normalization(axis=(1, -1)), data_a)(a)",
    ),
    "low rank adaptation of dense": (_PICTURE, "y = kl.Dense(4, lora_rank=2)(t)"),
    "low rank adaptation of a convolution": (_PICTURE, "y = kl.Conv2D(4, 3, lora_rank=2)(t)"),
    "separable convolution of channels first": (
        _PICTURE,
        "y = kl.SeparableConv2D(4, 3, data_format='channels_first')(t)",
    ),
    "a column that Keras adds to rows": (
        _PICTURE,
        "c = np.linspace(-1, 1, 8, dtype='float32')\n"
        "y = [kl.Conv2D(8, 1)(a) + c[:, None, None], kl.Reshape((8, 8, 3))(\n"
        "    kl.Concatenate(axis=2)([t, t[:, :, :1]])) + c[:, None]]",
    ),
    "a scale shared by tensors of other channels": (
        _PICTURE,
        "s = kl.Rescaling(0.5, offset=0.25)\n"
        "y = [s(kl.ReLU()(t)), s(kl.ReLU()(kl.Conv2D(2, 3)(t)))]",
    ),
    "a nested model called with more channels than it was built for": (
        _PICTURE,
        "i = keras.Input((8, 7, 1))\n"
        "j = kl.LeakyReLU(0.7)(i)\n"
        "m = keras.Model(i, [j, kl.ReLU(max_value=1.0)(j)])\n"
        "y = [m(kl.Conv2D(1, 1)(a))[1], *m(kl.Activation('tanh')(t))]",
    ),
    "a tensor with the number of one that was removed": (
        _ROWS,
        "u = kl.Rescaling(2.0, offset=-1.0)(t)\n"
        "y = [kl.Dropout(0.5)(a), kl.Minimum()([t, u, kl.Dense(3)(t)])]",
    ),
    # Refused by export_integer, after training.
    "rows that are an output, and scaled": (_ROWS, "y = [kl.Dropout(0.5)(a), t]"),
    "an output that a table reads": (_PICTURE, "y = [t, kl.ELU()(t)]"),
    "an output that a table reads flat": (_PICTURE, "y = [t, kl.ELU()(kl.Flatten()(t))]"),
    "an output that a table reads behind moves that change nothing": (
        _PICTURE,
        "y = [t, kl.ELU()(ops.squeeze(ops.expand_dims(t, 1), 1))]",
    ),
    "a table that is an output behind moves that change nothing": (
        _PICTURE,
        "u = kl.ELU()(t)\ny = [ops.squeeze(ops.expand_dims(u, 1), 1), u[..., :2]]",
    ),
    "a table that is an output and read on": (
        _PICTURE,
        "u = kl.ELU()(t)\n"
        "y = [u, kl.DepthwiseConv2D(1)(kl.Resizing(4, 7, interpolation='nearest')(u)), u + t]",
    ),
    "means of single values": (
        _PICTURE,
        "u = kl.GlobalAveragePooling2D(keepdims=True)(t)\n"
        "v = kl.AveragePooling2D(1)(kl.GlobalAveragePooling2D(keepdims=True)(kl.ReLU()(u)))\n"
        "y = [kl.GlobalAveragePooling2D()(kl.Conv2D(2, 1)(u)), kl.Conv2D(2, 1)(v)]",
    ),
    "strided and dilated": (
        _PICTURE,
        "y = kl.SeparableConv2D(4, 3, strides=2, dilation_rate=2)(t)",
    ),
    "dilated transposed convolution": (
        _PICTURE,
        "y = kl.Conv2DTranspose(4, 3, dilation_rate=2)(t)",
    ),
    "relu1 of an input": (_PICTURE, "y = kl.ReLU(max_value=1.0)(a)"),
    "relu1 that meets others": (
        _PICTURE,
        "u = kl.Activation('hard_sigmoid')(t)\ny = kl.Concatenate()([u, kl.Conv2D(1, 1)(u)])",
    ),
    "relu6 of leaky relu that meets others": (
        _PICTURE,
        "u = ops.relu6(kl.LeakyReLU()(a))\ny = kl.Maximum()([u, kl.Conv2D(3, 1)(u)])",
    ),
    "relu6 of relu": (_PICTURE, "y = kl.ReLU(6.0)(kl.ReLU()(t))"),
    "relu6 of relu6": (_PICTURE, "y = kl.ReLU(6.0)(kl.Conv2D(2, 3, activation='relu6')(a))"),
    "relu behind a pool": (_PICTURE, "y = kl.ReLU()(kl.MaxPooling2D(2)(t))"),
    "sum of three": (_PICTURE, "y = kl.Add()([t, kl.Conv2D(3, 1)(t), kl.Conv2D(3, 1)(t)])"),
    "minimum of three, read on": (
        _PICTURE,
        "u = kl.Minimum()([a, t, kl.Conv2D(3, 1)(a)])\ny = u + kl.Conv2D(3, 1)(u)",
    ),
    "hard silu and hard sigmoid of one tensor": (
        _PICTURE,
        "y = [ops.hard_silu(t), ops.hard_sigmoid(t)]",
    ),
    "two affine layers on one vector": (
        _VECTOR,
        "y = [kl.BatchNormalization()(a), kl.BatchNormalization()(a)]",
    ),
    "scaled vector, read twice": (_VECTOR, "u = a * 0.7\ny = kl.Add()([u, kl.Dense(9)(u)])"),
    "two means of one size": (
        _PICTURE,
        "y = [kl.AveragePooling2D((8, 7))(t), kl.GlobalAveragePooling2D(keepdims=True)(t)]",
    ),
    "nested model with an output that nothing reads": (
        _PICTURE,
        "i = keras.Input((8, 7, 3))\n"
        "u = kl.BatchNormalization()(i)\n"
        "y = kl.ReLU(6.0)(keras.Model(i, [u, kl.Conv2D(2, 1)(u)])(a)[0])",
    ),
    "four leaky relus of one tensor": (
        _PICTURE,
        "y = [kl.LeakyReLU(slope)(t) for slope in (0.3, 0.1, 0.0, 0.7)]",
    ),
    "relu1 called twice": (
        _PICTURE,
        "r = kl.ReLU(max_value=1.0)\ny = [r(a), r(kl.AveragePooling2D(2)(a))]",
    ),
    "three permutations of one tensor": (
        _PICTURE,
        "y = [kl.Permute(axes)(t) for axes in ((2, 1, 3), (3, 1, 2), (1, 3, 2))]",
    ),
}
FOUND = {
    name: f"{start}{lines}\nmodel, x = keras.Model(a, y), data_a\n"
    for name, (start, lines) in _FOUND.items()
}


REFUSED = {
    *("resizing that crops", "resizing that pads", "resizing against aliases"),
    *("upsampling of channels first", "separable convolution of channels first"),
    *("strided and dilated", "dilated transposed convolution"),
}


@pytest.mark.parametrize("name", FOUND)
def test_faults_that_were_found(name):
    verdict = judge(run_program(FOUND[name], seed=1))
    assert (verdict.refusal is not None) == (name in REFUSED), verdict.refusal


@pytest.mark.parametrize(("bits", "io_dtype"), [(8, "int8"), (16, "int16")])
@pytest.mark.parametrize("name", [name for name in FOUND if "output" in name])
def test_outputs_of_other_types(monkeypatch, name, bits, io_dtype):
    recipe = f"static_wi8_ai{bits}"
    monkeypatch.setattr(prepare, "prepare_qat", partial(prepare.prepare_qat, recipe=recipe))
    written = partial(integer.export_integer, io_dtype=io_dtype)
    monkeypatch.setattr(integer, "export_integer", written)
    assert judge(run_program(FOUND[name], seed=1)).refusal is None


# That the judge can find a fault: each test commits one.

NORMALIZED = """
data_a = pixels((6, 7, 3), 1)
a = keras.Input((6, 7, 3), name="a")
t = adapted(kl.Normalization(), data_a)(a)
t = kl.Conv2D(4, 3, activation="relu")(t)
t = kl.Conv2D(5, 3)(t)
model, x = keras.Model(a, t), data_a
"""


def _prepared(net: Net):
    return prepare.prepare_qat(net.model, [net.x], observer="minmax")


@pytest.fixture
def net():
    # Statistics given, not adapted: what happens to those is tested above.
    source = NORMALIZED.replace(
        "adapted(kl.Normalization(), data_a)",
        "kl.Normalization(mean=[120.0, 130.0, 110.0], variance=[4900.0] * 3)",
    )
    return run_program(source, seed=1)


def test_a_lost_normalization_is_found(net):
    without = run_program(str(net).replace("mean=[120.0, 130.0, 110.0]", "mean=[0.0] * 3"), seed=1)
    with pytest.raises(AssertionError, match="rewritten with an error"):
        check_simulation(simulation_of(_prepared(without), net), net)
    check_simulation(simulation_of(_prepared(net), net), net)


def _inner_quantizer(prepared):
    """Return what rounds the input of the last convolution."""
    graph = read_graph(prepared, clone=False)
    node = [node for node in graph.nodes if isinstance(node.layer, keras.layers.Conv2D)][-1]
    return quantizer_before(graph.producers(), node)


def test_a_range_too_narrow_is_found(net):
    prepared = _prepared(net)
    quantizer = _inner_quantizer(prepared)
    quantizer.set_range(0.0, quantizer.params().maximum / 3)
    with pytest.raises(AssertionError, match="beyond the bound"):
        check_simulation(simulation_of(prepared, net), net)


def test_noise_within_the_bound_is_found(net, monkeypatch):
    prepared = _prepared(net)
    quantizer = _inner_quantizer(prepared)
    rounded, step = quantizer.call, quantizer.params().scale
    monkeypatch.setattr(quantizer, "call", lambda x, training: rounded(x) + 3 * step)
    with pytest.raises(AssertionError, match="its scales make"):
        check_simulation(simulation_of(prepared, net), net)


def test_a_file_of_other_weights_is_found(net, tmp_path):
    prepared = _prepared(net)
    path = integer.export_integer(prepared, tmp_path / "model.tflite")
    simulation = simulation_of(prepared, net)
    check_file(path, simulation, net)
    other = _prepared(run_program(str(net), seed=2))
    path = integer.export_integer(other, tmp_path / "other.tflite")
    with pytest.raises((AssertionError, ExportError)):  # by value, or by weights
        check_file(path, simulation, net)


@pytest.mark.parametrize(
    ("error", "found"),
    [(QuantizationError("no"), "no layer is named"), (ValueError("'a' is odd"), "ValueError")],
)
def test_a_refusal_without_a_name_and_a_traceback_are_found(net, monkeypatch, error, found):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(prepare, "prepare_qat", refuse)
    with pytest.raises(AssertionError, match=found):
        judge(net)


def test_a_refusal_after_prepare_qat_is_found(net, monkeypatch):
    def refuse(*_, **__):
        raise ExportError("layer 'conv2d' is not in the exported file")

    monkeypatch.setattr(integer, "export_integer", refuse)
    with pytest.raises(AssertionError, match="takes what the export refuses"):
        judge(net)
