"""Write a Keras 3 model in a form that legacy Keras can rebuild: the rivals' workers read it.

`net.json` lists the layer calls, `weights.npz` holds the weights as `LAYER/0`, `LAYER/1` and so
on, and `reference.npz` what Keras 3 computes on a few pictures: the rebuilt net must agree.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.errors import QuantizationError
from quantdet.export import export_float
from quantdet.quant import Graph, Node, build_model, fold_affine_before, read_graph

_CONV = (
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
    "activation",
    "use_bias",
)
_POOLING = ("pool_size", "strides", "padding", "data_format")
# Layer → the settings that compute something, by the names that legacy Keras has for them, too.
# Initializers, regularizers and data types of Keras 3 stay behind: legacy Keras refuses them.
SETTINGS: dict[str, tuple[str, ...]] = {
    "Conv2D": ("filters", "groups", *_CONV),
    "DepthwiseConv2D": ("depth_multiplier", *_CONV),
    "SeparableConv2D": ("filters", "depth_multiplier", *_CONV),
    "Dense": ("units", "activation", "use_bias"),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Activation": ("activation",),
    "Softmax": ("axis",),
    "Add": (),
    "Concatenate": ("axis",),
    "ZeroPadding2D": ("padding", "data_format"),
    "GlobalAveragePooling2D": ("data_format", "keepdims"),
    "AveragePooling2D": _POOLING,
    "MaxPooling2D": _POOLING,
    "Reshape": ("target_shape",),
    "Flatten": ("data_format",),
    "Dropout": ("rate",),
}
# Those that compute the same in both; hard_sigmoid, for one, does not.
ACTIVATIONS = ("linear", "relu", "relu6", "sigmoid", "tanh", "softmax", "elu", "selu", "silu")
REFERENCE_PICTURES = 4


@dataclass(frozen=True)
class Pictures:
    """What a job trains with.

    Attributes:
        x: uint8 (N, H, W, 3).
        targets: output name → (N, …).
        calibration: uint8 (M, H, W, 3).
    """

    x: NDArray[np.uint8]
    targets: dict[str, NDArray[Any]]
    calibration: NDArray[np.uint8]


def write_job(model: Any, pictures: Pictures, settings: dict[str, Any], folder: Path) -> None:
    """Write all that the workers read (rivals/job.py).

    Args:
        model: float Keras 3 model, outputs by name.
        pictures: training and calibration pictures.
        settings: epochs, batch_size, learning_rate, seed, losses by output name.
        folder: made if need be.
    """
    write_net(model, folder)
    model.save(folder / "float.keras")
    export_float(model, folder / "float.tflite")
    targets = {f"y_{name}": values for name, values in pictures.targets.items()}
    np.savez(folder / "train.npz", x=pictures.x, **targets)
    np.savez(folder / "calibration.npz", x=pictures.calibration)
    (folder / "job.json").write_text(json.dumps(settings))


def write_net(model: Any, folder: Path) -> None:
    """Write ``model`` to ``folder``: net.json, weights.npz and reference.npz.

    Args:
        model: functional Keras 3 model of one picture input; it is not changed.
        folder: made if need be.

    Raises:
        QuantizationError: a layer, or a setting of one, has no equal in legacy Keras.
    """
    graph = _without_normalization(fold_affine_before(read_graph(model)))
    model = build_model(graph, model.name)
    if len(graph.inputs) != 1:
        raise QuantizationError(f"{model.name!r} has {len(graph.inputs)} inputs; supported is one")
    names = _layer_names(graph)
    net = {
        "name": model.name,
        "input": {"tensor": graph.inputs[0], "shape": list(graph.input_templates[0].shape[1:])},
        "nodes": [_describe(node, names[id(node.layer)]) for node in graph.nodes],
        "outputs": _output_names(graph),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.json").write_text(json.dumps(net, indent=1))
    layers = {names[id(node.layer)]: node.layer for node in graph.nodes}
    np.savez(
        folder / "weights.npz",
        **{
            key: weight
            for name, layer in layers.items()
            for key, weight in zip(_weight_keys(name, layer), layer.get_weights(), strict=True)
        },
    )
    np.savez(folder / "reference.npz", **_reference(model, graph))


def _output_names(graph: Graph) -> dict[str, int]:
    """Return output name → tensor, by the names that a .tflite has."""
    if isinstance(graph.outputs, dict):
        return dict(graph.outputs)
    return {f"output_{i}": tensor for i, tensor in enumerate(graph.output_ids)}


def _without_normalization(graph: Graph) -> Graph:
    """Write Normalization as the 1x1 depthwise convolution that we quantize, too.

    TFMOT does not know Normalization.
    """
    return graph.rewrite([_as_depthwise(node, graph.shapes[node.output]) for node in graph.nodes])


def _as_depthwise(node: Node, shape: tuple[int | None, ...]) -> Node:
    if not isinstance(node.layer, keras.layers.Normalization):
        return node
    layer = keras.layers.DepthwiseConv2D(1, name=node.layer.name)
    layer.build(shape)
    mean, variance = (np.ravel(values) for values in (node.layer.mean, node.layer.variance))
    scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    kernel, bias = layer.get_weights()
    layer.set_weights([np.full(kernel.size, scale).reshape(kernel.shape), bias - mean * scale])
    return replace(node, layer=layer)


def _layer_names(graph: Graph) -> dict[int, str]:
    """Return id of a layer → a name of its own: layers of two nested models may share theirs."""
    names: dict[int, str] = {}
    for node in graph.nodes:
        if id(node.layer) not in names:
            plain = re.sub(r"[^A-Za-z0-9_]", "_", node.layer.name)
            taken = set(names.values())
            endings = (f"_{i}" if i else "" for i in range(len(graph.nodes)))
            names[id(node.layer)] = next(plain + end for end in endings if plain + end not in taken)
    return names


def _describe(node: Node, name: str) -> dict[str, Any]:
    kind = type(node.layer).__name__
    if kind not in SETTINGS:
        raise QuantizationError(
            f"layer {node.layer.name!r} ({kind}) cannot be handed to legacy Keras; known are "
            + ", ".join(SETTINGS)
        )
    config = node.layer.get_config()
    settings = {key: config[key] for key in SETTINGS[kind]}
    activation = settings.get("activation", "linear")
    if activation not in ACTIVATIONS:
        raise QuantizationError(
            f"layer {node.layer.name!r} ({kind}) has activation {activation!r}, which differs or "
            f"is missing in legacy Keras; known are {', '.join(ACTIVATIONS)}"
        )
    return {
        "class": kind,
        "name": name,
        "config": settings,
        "inputs": list(node.inputs),
        "output": node.output,
        "weights": _weight_keys(name, node.layer),
    }


def _weight_keys(name: str, layer: Any) -> list[str]:
    return [f"{name}/{i}" for i in range(len(layer.get_weights()))]


def _reference(model: Any, graph: Graph) -> dict[str, Any]:
    """Return pictures `x` (uint8) and, as `y_NAME`, what the model makes of them."""
    shape = (REFERENCE_PICTURES, *graph.input_templates[0].shape[1:])
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    outputs = model((pixels.astype(np.float32) - 128) / 127.5, training=False)
    values = dict(zip(graph.output_ids, keras.tree.flatten(outputs), strict=True))
    named = {f"y_{name}": values[tensor] for name, tensor in _output_names(graph).items()}
    return {"x": pixels} | {name: keras.ops.convert_to_numpy(y) for name, y in named.items()}
