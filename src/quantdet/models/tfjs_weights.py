"""Read the weights of a TF Object Detection SSDLite MobileNetV2 out of a TensorFlow.js model.

A graph model is a model.json (TensorFlow's graph, and a list of the constants) with files of
bytes beside it. The layers are told by the names that the Object Detection API gives.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError

Arrays = dict[str, NDArray[np.float32]]
Users = dict[str, list[dict[str, Any]]]
"""Tensor → the nodes that read it."""

_DTYPES = {"float32": "<f4", "int32": "<i4"}
_LINEAR = ("Mul", "Add", "BiasAdd", "FusedBatchNorm", "FusedBatchNormV3")
_TRUNK = "FeatureExtractor/MobilenetV2/"
# The API's name of a layer, ours, and what to add to its number; the first that matches counts.
_NAMES = (
    (_TRUNK + r"Conv", "Conv1", 0),
    (_TRUNK + r"Conv_1", "Conv_1", 0),
    (_TRUNK + r"expanded_conv/(?P<part>\w+)", "expanded_conv_{part}", 0),
    (_TRUNK + r"expanded_conv_(?P<n>\d+)/(?P<part>\w+)", "block_{n}_{part}", 0),
    (_TRUNK + r"layer_19_1_Conv2d_(?P<n>\d)_\w+", "extra_{n}_reduce", -1),
    (_TRUNK + r"layer_19_2_Conv2d_(?P<n>\d)_\w+_depthwise", "extra_{n}_depthwise", -1),
    (_TRUNK + r"layer_19_2_Conv2d_(?P<n>\d)_\w+", "extra_{n}_conv", -1),
    (r"BoxPredictor_(?P<n>\d)/BoxEncodingPredictor(?P<part>(_depthwise)?)", "box_{n}{part}", 1),
    (r"BoxPredictor_(?P<n>\d)/ClassPredictor(?P<part>(_depthwise)?)", "class_{n}{part}", 1),
)


def read_ssdlite_weights(path: Path) -> tuple[Arrays, int]:
    """Return folded weights by our layer names, and the number of class rows.

    Args:
        path: the model.json; its weight files are next to it.

    Returns:
        ("layer/kernel" and "layer/bias" → values in Keras layout, width of the class rows).

    Raises:
        ModelError: not such a model; the message names it.
    """
    try:
        model = json.loads(path.read_text("utf-8"))
        nodes = model["modelTopology"]["node"]
        constants = dict(_constants(path.parent, model["weightsManifest"]))
        users: Users = {}
        for node in nodes:
            for tensor in node["input"]:
                users.setdefault(tensor, []).append(node)
        arrays: Arrays = {}
        for node in nodes:
            if node["op"] in ("Conv2D", "DepthwiseConv2dNative"):
                name, kernel, bias = _convolution(node, users, constants)
                arrays[f"{name}/kernel"], arrays[f"{name}/bias"] = kernel, bias
        # The first map has three anchors, each with four box values.
        anchors = arrays["box_1/bias"].size // 4
        return arrays, arrays["class_1/bias"].size // anchors
    except Exception as error:  # whatever a JSON of another form leads to
        raise ModelError(
            f"{path}: not a TensorFlow.js graph of an SSDLite MobileNetV2 "
            f"({type(error).__name__}: {error!s:.200}); give the model.json of the TF Object "
            "Detection API's net with its weight files next to it"
        ) from None


def _constants(
    folder: Path, manifest: list[dict[str, Any]]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for group in manifest:
        raw = b"".join(_part(folder, name).read_bytes() for name in dict.fromkeys(group["paths"]))
        offset = 0
        for entry in group["weights"]:
            if "quantization" in entry:
                raise ValueError(f"{entry['name']} is quantized")
            shape = entry["shape"]
            if any(type(size) is not int or size < 0 for size in shape):
                raise ValueError(f"{entry['name']} has shape {shape}")
            values = np.frombuffer(raw, _DTYPES[entry["dtype"]], math.prod(shape), offset)
            offset += values.nbytes
            yield entry["name"], values.reshape(shape).astype(np.float32)


def _part(folder: Path, name: str) -> Path:
    """Return a file of weights; it has to be beside the model.json."""
    if name != PurePosixPath(name).name or "\\" in name:
        raise ValueError(f"path {name!r} leads out of the folder")
    return folder / name


def _convolution(
    node: dict[str, Any], users: Users, constants: Arrays
) -> tuple[str, NDArray[np.float32], NDArray[np.float32]]:
    """Return our name, kernel and bias, with what follows the convolution folded in."""
    kernel = constants[node["input"][1]]
    depthwise = node["op"] == "DepthwiseConv2dNative"
    channels = kernel.shape[2 if depthwise else 3]
    scale: NDArray[np.float32] | float = 1.0
    bias: NDArray[np.float32] | float = 0.0
    for follower in _linear_followers(node["name"], users, constants):
        values = [constants[i].ravel() for i in follower["input"] if i in constants]
        if any(value.size not in (1, channels) for value in values):
            raise ValueError(f"{follower['name']} is not for {channels} channels")
        first = values[0]
        if follower["op"] == "Mul":
            scale, bias = scale * first, bias * first
        elif follower["op"] in ("Add", "BiasAdd"):
            bias = bias + first
        else:
            gamma, beta, mean, variance = values
            factor = gamma / np.sqrt(variance + follower["attr"]["epsilon"]["f"])
            scale, bias = scale * factor, (bias - mean) * factor + beta
    kernel = kernel * (np.reshape(scale, (-1, 1)) if depthwise else scale)
    return _our_name(node["input"][1]), kernel, np.asarray(bias, np.float32)


def _linear_followers(name: str, users: Users, constants: Arrays) -> Iterator[dict[str, Any]]:
    """Yield the scales and offsets by constants between a convolution and its activation."""
    seen: set[str] = set()
    while len(users.get(name, ())) == 1 and name not in seen:
        seen.add(name)
        (user,) = users[name]
        if user["op"] != "AddN":  # a shortcut: TensorFlow's optimizer moves it before the offset
            if user["op"] not in _LINEAR or not any(i in constants for i in user["input"]):
                return
            yield user
        name = user["name"]


def _our_name(kernel: str) -> str:
    layer = re.sub(r"/(Conv2D/merged_input|depthwise_weights|weights)$", "", kernel)
    for pattern, ours, offset in _NAMES:
        match = re.fullmatch(pattern, layer)
        if match:
            groups = match.groupdict()
            number = int(groups.pop("n", 0)) + offset
            return ours.format(n=number, **groups)
    raise ValueError(f"unknown layer {layer}")
