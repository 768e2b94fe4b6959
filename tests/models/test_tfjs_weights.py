"""Weights out of a TensorFlow.js graph, made here with the names of the Object Detection API."""

import json
import re

import keras
import numpy as np
import pytest

from quantdet.config import load_config
from quantdet.errors import ModelError
from quantdet.models import resolve_start
from quantdet.models.detector_weights import folded_arrays
from quantdet.models.ssd import build_ssd
from quantdet.models.tfjs_weights import read_ssdlite_weights

MODEL = {"name": "ssdlite", "input_size": 160, "width": 0.35}
EXTRAS = {1: "2_3x3_s2_512", 2: "3_3x3_s2_256", 3: "4_3x3_s2_256", 4: "5_3x3_s2_128"}


def api_name(layer):
    """Return the Object Detection API's name of one of our layers."""
    trunk = "FeatureExtractor/MobilenetV2"
    extra = re.fullmatch(r"extra_(\d)_(\w+)", layer)
    head = re.fullmatch(r"(box|class)_(\d)(_depthwise)?", layer)
    if head:
        kind = {"box": "BoxEncoding", "class": "Class"}[head[1]]
        return f"BoxPredictor_{int(head[2]) - 1}/{kind}Predictor{head[3] or ''}"
    if extra:
        number = int(extra[1])
        forms = {
            "reduce": f"layer_19_1_Conv2d_{number + 1}_1x1_256",
            "depthwise": f"layer_19_2_Conv2d_{EXTRAS[number]}_depthwise",
            "conv": f"layer_19_2_Conv2d_{EXTRAS[number]}",
        }
        return f"{trunk}/{forms[extra[2]]}"
    name = re.sub(r"^block_(\d+)_", r"expanded_conv_\1/", layer)
    name = re.sub(r"^expanded_conv_([a-z])", r"expanded_conv/\1", name)
    return f"{trunk}/{'Conv' if layer == 'Conv1' else name}"


class Graph:
    """A graph model in the making."""

    def __init__(self):
        self.nodes, self.manifest, self.bytes = [], [], b""

    def constant(self, name, values):
        values = np.asarray(values, "<f4")
        self.nodes.append({"op": "Const", "name": name, "input": []})
        self.manifest.append({"name": name, "shape": list(values.shape), "dtype": "float32"})
        self.bytes += values.tobytes()
        return name

    def node(self, op, name, inputs, **attributes):
        self.nodes.append({"op": op, "name": name, "input": list(inputs), "attr": attributes})
        return name

    def add(self, layer, kernel, bias):
        """Add a convolution with one of the forms of a folded BatchNorm behind it."""
        name = api_name(layer)
        depthwise = kernel.shape[-1] == 1 and kernel.shape[0] == 3
        channels = bias.size
        rng = np.random.default_rng(channels)
        scale = rng.uniform(0.5, 2.0, channels).astype(np.float32)
        if layer.startswith(("box", "class")) and not depthwise:
            end = self.constant(f"{name}/weights", kernel)
            x = self.node("Conv2D", f"{name}/Conv2D", ["features", end])
            self.node("BiasAdd", f"{name}/BiasAdd", [x, self.constant(f"{name}/biases", bias)])
        elif not depthwise:
            end = self.constant(f"{name}/Conv2D/merged_input", kernel)
            x = self.node("Conv2D", f"{name}/mul_1", ["features", end])
            if layer in ("block_2_project", "block_5_project"):
                x = self.node("AddN", f"{name}/shortcut", [x, "features"])
            self.node("Add", f"{name}/add_1", [self.constant(f"{name}/sub", bias), x])
        elif layer.startswith(("box", "class")):
            end = self.constant(f"{name}/depthwise_weights", kernel)
            x = self.node("DepthwiseConv2dNative", f"{name}/depthwise", ["features", end])
            mean, variance = rng.normal(size=channels), rng.uniform(0.5, 2.0, channels)
            gamma = np.sqrt(variance + 1e-3)  # cancels: the kernel stays as it is
            values = {"gamma": gamma, "beta": bias + mean, "mean": mean, "variance": variance}
            inputs = [self.constant(f"{name}/{key}", value) for key, value in values.items()]
            self.node("FusedBatchNorm", f"{name}/bn", [x, *inputs], epsilon={"f": 1e-3})
        else:
            end = self.constant(f"{name}/depthwise_weights", kernel / scale[:, None])
            x = self.node("DepthwiseConv2dNative", f"{name}/depthwise", ["features", end])
            x = self.node("Mul", f"{name}/mul_1", [x, self.constant(f"{name}/mul", scale)])
            self.node("Add", f"{name}/add_1", [x, self.constant(f"{name}/sub", bias)])

    def write(self, folder):
        half = len(self.bytes) // 2
        (folder / "part1").write_bytes(self.bytes[:half])
        (folder / "part2").write_bytes(self.bytes[half:])
        manifest = [{"paths": ["part1", "part2"], "weights": self.manifest}]
        content = {"modelTopology": {"node": self.nodes}, "weightsManifest": manifest}
        path = folder / "model.json"
        path.write_text(json.dumps(content))
        return path


@pytest.fixture(scope="module")
def expected():
    keras.utils.set_random_seed(0)
    return folded_arrays(build_ssd(load_config(values={"model": MODEL}).model, 3))


@pytest.fixture(scope="module")
def file(expected, tmp_path_factory):
    graph = Graph()
    for key, kernel in expected.items():
        layer, _, variable = key.partition("/")
        if variable == "kernel":
            graph.add(layer, kernel, expected[f"{layer}/bias"])
    return graph.write(tmp_path_factory.mktemp("tfjs"))


def test_every_layer_is_read_with_what_follows_it_folded_in(file, expected):
    arrays, width = read_ssdlite_weights(file)
    assert width == 3
    assert arrays.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(arrays[key], value, rtol=1e-5, atol=1e-6, err_msg=key)


def test_a_detector_starts_from_it(file, expected):
    file.with_suffix(".txt").write_text("Cat\nDog\nBird\n")
    # Of the size that such graphs are trained at every anchor starts from itself.
    values = {"model": {**MODEL, "input_size": 300, "weights": str(file)}}
    config = load_config(values=values).model
    weights = resolve_start(config, ["bird", "fish"])
    assert weights.head.class_rows == (2, None)
    model = build_ssd(config, 2, weights)
    new = folded_arrays(model)["class_2/kernel"].reshape(-1, 6, 2)
    old = expected["class_2/kernel"].reshape(-1, 6, 3)
    np.testing.assert_array_equal(new[..., 0], old[..., 2])


@pytest.mark.parametrize("damage", ["no json", "no topology", "no file", "short"])
def test_what_is_no_such_model_is_named(file, tmp_path, damage):
    path = tmp_path / "model.json"
    content = json.loads(file.read_text())
    if damage == "no topology":
        content = {"weightsManifest": []}
    path.write_text("nothing" if damage == "no json" else json.dumps(content))
    if damage == "short":
        (tmp_path / "part1").write_bytes(b"1234")
        (tmp_path / "part2").write_bytes(b"")
    with pytest.raises(ModelError, match=r"model\.json: not a TensorFlow\.js graph of an SSDLite"):
        read_ssdlite_weights(path)
