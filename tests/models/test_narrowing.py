"""A narrow model that starts from the channels of a wide one."""

import keras
import numpy as np
import pytest
from test_ssd import config, decode, vary_norms, weights_of

from quantdet.errors import ModelError
from quantdet.models.backbones import BACKBONES
from quantdet.models.detector_weights import folded_arrays
from quantdet.models.narrowing import channel_groups, channels_taken, narrowed
from quantdet.models.ssd import build_ssd, narrow_start
from quantdet.models.ssd_start import choose_class_rows
from quantdet.quant.reader import read_graph


def net(channels, expanded):
    """An inverted residual, a stride, a 3x3 convolution and two predictors, as detectors have."""
    convolution, relu = keras.layers.Conv2D, keras.layers.ReLU
    picture = keras.Input((16, 16, 3))
    x = shortcut = convolution(channels, 3, padding="same", name="first")(picture)
    x = relu(6.0)(convolution(expanded, 1, name="expand")(x))
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = convolution(channels, 1, name="project")(relu(6.0)(x))
    x = keras.layers.Add(name="add")([shortcut, x])
    x = relu(6.0)(convolution(expanded, 1, strides=2, name="stride")(x))
    x = convolution(channels, 3, strides=2, padding="same", name="wide_kernel")(x)
    outputs = {name: convolution(5, 1, name=name)(x) for name in ("boxes", "scores")}
    return keras.Model(picture, outputs)


def pictures(count=4, side=16):
    return np.random.default_rng(0).uniform(-1, 1, (count, side, side, 3)).astype(np.float32)


def start(model, arrays):
    for layer in model.layers:
        if f"{layer.name}/kernel" in arrays:
            layer.set_weights([arrays[f"{layer.name}/{part}"] for part in ("kernel", "bias")])
        elif isinstance(layer, keras.layers.BatchNormalization):
            zero, one = (np.full(layer.gamma.shape, value) for value in (0.0, 1.0))
            layer.set_weights([one, zero, zero, one - layer.epsilon])
    return model


def test_a_sum_ties_channels_and_a_depthwise_convolution_passes_them_on():
    graph = read_graph(net(4, 8), clone=False)
    groups = channel_groups(graph)
    of = {node.layer.name: groups[node.output] for node in graph.nodes}
    assert of["first"] == of["project"] == of["add"]
    assert of["expand"] == of["depthwise"] == of["norm"]
    assert len({of[name] for name in ("first", "expand", "stride", "wide_kernel", "boxes")}) == 5


@pytest.mark.parametrize("seed", range(3))
def test_channels_that_are_zero_are_dropped_and_change_nothing(seed):
    rng = np.random.default_rng(seed)
    wide, arrays = net(10, 14), {}
    dead = {name: rng.permutation(10)[:4] for name in ("shared", "wide_kernel")}
    dead |= {name: rng.permutation(14)[:6] for name in ("expand", "stride")}
    makers = {"first": "shared", "project": "shared", "depthwise": "expand"}
    for name, old in folded_arrays(wide).items():
        arrays[name] = rng.normal(0, 0.4, old.shape).astype(np.float32)
        layer = name.partition("/")[0]
        channels = dead.get(makers.get(layer, layer), [])
        arrays[name][(..., channels, 0) if name == "depthwise/kernel" else (..., channels)] = 0
    start(wide, arrays)
    narrow = net(6, 8)
    start(narrow, narrowed(arrays, narrow, pictures()))
    for name, value in wide(pictures(2)).items():
        np.testing.assert_allclose(
            narrow(pictures(2))[name], value, atol=2e-3 * np.abs(value).max()
        )
        assert np.std(value) > 0.01


def test_as_many_channels_are_the_same_weights():
    wide = net(6, 8)
    arrays = folded_arrays(wide)
    found = narrowed(arrays, net(6, 8), pictures())
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_allclose(found[name], value, atol=1e-3)


def test_a_narrow_model_answers_as_the_wide_one_rather_than_at_random():
    rng = np.random.default_rng(0)
    arrays = {k: rng.normal(0, 0.3, v.shape).astype(np.float32) for k, v in _arrays().items()}
    wide = start(net(12, 24), arrays)
    fitted, first = net(9, 18), net(9, 18)
    start(fitted, narrowed(arrays, fitted, pictures(16)))
    shapes = folded_arrays(first)
    start(first, {k: v[tuple(map(slice, shapes[k].shape))] for k, v in arrays.items()})
    seen = np.random.default_rng(9).uniform(-1, 1, (8, 16, 16, 3)).astype(np.float32)
    wanted = np.asarray(wide(seen)["boxes"])
    errors = [np.square(model(seen)["boxes"] - wanted).mean() for model in (fitted, first)]
    assert errors[0] < 0.3 * wanted.var()
    assert errors[0] < 0.6 * errors[1]


def _arrays():
    return folded_arrays(net(12, 24))


@pytest.fixture(scope="module")
def wide_start():
    keras.utils.set_random_seed(3)
    wide = vary_norms(build_ssd(config(name="ssdlite", width=0.5), 2))
    known = weights_of(wide, "ab", width=0.5)
    return wide, choose_class_rows(known, "ab", {})


def test_a_detector_starts_from_a_wider_one(wide_start):
    wide, weights = wide_start
    model = config(name="ssdlite")
    taken = channels_taken(build_ssd(model, 2).layers, weights)
    assert taken is not None
    assert 0.6 * taken[1] < taken[0] < taken[1]
    found = narrow_start(model, 2, weights, pictures(4, 160))
    narrow = build_ssd(model, 2, found)
    wanted = np.asarray(wide(pictures(2, 160))["scores"])
    random = np.asarray(build_ssd(model, 2)(pictures(2, 160))["scores"])
    got = np.asarray(narrow(pictures(2, 160))["scores"])
    assert np.square(got - wanted).mean() < 0.5 * np.square(random - wanted).mean()
    assert channels_taken(wide.layers, weights) is None


def test_a_wider_model_is_refused(wide_start):
    with pytest.raises(ModelError, match=r"fewer channels.*width = 0\.5 .*or less"):
        channels_taken(build_ssd(config(name="ssdlite", width=0.75), 2).layers, wide_start[1])


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.0])
def test_the_width_of_a_file_is_read_off_its_weights(width):
    backbone = BACKBONES["mobilenet_v2"]
    arrays = folded_arrays(backbone.build(32, width, weights_of(net(4, 8), "a").style))
    assert backbone.width_of(arrays) == width


def test_at_another_size_anchors_start_with_the_same_boxes_in_pixels(wide_start):
    _, weights = wide_start
    arrays = {k: 0 * v if k.startswith("box_") else v for k, v in weights.arrays.items()}
    still = type(weights)(arrays, weights.style, "test", "", weights.head)
    larger = config(name="ssdlite", width=0.5, input_size=320)
    boxes = 320 * decode(build_ssd(larger, 2, still), larger, 320)
    known = 160 * np.array(weights.head.shapes_hw[0])
    sides = np.stack([boxes[:3, 3] - boxes[:3, 1], boxes[:3, 2] - boxes[:3, 0]], axis=-1)
    for side in sides:
        assert np.abs(known - side).sum(axis=-1).min() < 0.01
