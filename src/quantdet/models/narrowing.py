"""Start a narrow model from a wide one of the same layout: choose its channels, refit its weights.

Channels come in groups: a convolution makes new ones, everything up to the next convolution passes
them on (a depthwise convolution, too), and a sum ties those of its inputs together. Of a group the
channels are taken that carry most of what the next convolutions make of it: the variance of the
channel on some pictures times the squared weights that read it, as a share of the variance of what
is made (the idea of ThiNet: Luo et al. 2017, arXiv:1707.06342, section 3.2, without its search).

Then, layer after layer, the narrow model learns to make out of its own channels what the wide one
makes: 1x1 convolutions by linear least squares (He et al. 2017, arXiv:1707.06168, section 3.1),
larger ones by a factor and an offset for each channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from quantdet.errors import ModelError
from quantdet.models.ssd_start import is_head
from quantdet.models.weight_files import Arrays, WeightSet
from quantdet.quant.graph import Graph, Node, call_layer
from quantdet.quant.reader import read_graph

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]
_WEIGHTED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
# Positions that a layer is fitted to: enough for the widest input, few enough for a second.
_POSITIONS = 8000
# Weight of the chosen channels' own weights against the data, relative to the mean eigenvalue.
_RIDGE = 1e-3
_EPSILON = 1e-6


def channels_taken(layers: Iterable[keras.Layer], weights: WeightSet) -> tuple[int, int] | None:
    """Return how many channels of how many a narrower model takes over; None where it has all.

    Args:
        layers: of the model to start; those that the weights do not have count for nothing.
        weights: of a detector.

    Raises:
        ModelError: the model needs more channels than there are.
    """
    assert weights.head is not None
    sizes = [
        (int(layer.filters), weights.arrays[f"{layer.name}/bias"].size)
        for layer in layers
        if isinstance(layer, keras.layers.Conv2D) and not is_head(layer.name)
        if f"{layer.name}/bias" in weights.arrays
    ]
    if any(wanted > known for wanted, known in sizes):
        raise ModelError(
            f"{weights.source}: has fewer channels than the model; set [model] width = "
            f"{weights.head.width:g} (that of the weights) or less, or choose other weights"
        )
    taken, known = sum(wanted for wanted, _ in sizes), sum(known for _, known in sizes)
    return None if taken == known else (taken, known)


def narrowed(wide: Arrays, model: keras.Model, pictures: Floats) -> dict[str, Floats]:
    """Return weights for ``model`` out of those of a wider one.

    Args:
        wide: "layer/kernel" and "layer/bias" of every convolution, BatchNorm folded in
            (``detector_weights.folded_arrays``).
        model: to be started; its layers have the same names. Its BatchNorm is taken to be folded
            into what is returned.
        pictures: model inputs (N, S, S, 3) that channels are chosen and fitted on.

    Returns:
        The same keys. Where both models have the same number of channels they keep their order.
    """
    graph = read_graph(model, clone=False)
    groups = channel_groups(graph)
    kept = _choose(graph, groups, wide, pictures)
    found: dict[str, Floats] = {}

    def apply(node: Node, arguments: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        originals, own = ([pair[side] for pair in arguments] for side in (0, 1))
        original = _apply(node, originals, wide)
        if isinstance(node.layer, _WEIGHTED):
            made = kept[groups[node.output]]
            kernel = _taken(wide, node, kept.get(groups[node.inputs[0]]), made)
            found.update(_fitted(node, kernel, own[0], original[..., made]))
        return original, _apply(node, own, found)

    graph.run([(pictures, pictures)], apply, forget=True)
    return found


def channel_groups(graph: Graph) -> dict[int, int]:
    """Return tensor → group; tensors of a group have the same channels."""
    groups = {tensor: tensor for tensor in graph.inputs}
    for node in graph.nodes:
        groups[node.output] = node.output if _makes_channels(node) else groups[node.inputs[0]]
        if isinstance(node.layer, keras.layers.Add):
            tied = {groups[tensor] for tensor in node.inputs}
            groups = {t: min(tied) if group in tied else group for t, group in groups.items()}
    return groups


def _makes_channels(node: Node) -> bool:
    return isinstance(node.layer, keras.layers.Conv2D)


def _choose(
    graph: Graph, groups: Mapping[int, int], wide: Arrays, pictures: Floats
) -> dict[int, Indices]:
    """Return group → channels of the wide model to take, in their order."""
    shares: dict[int, NDArray[np.float64]] = {}

    def apply(node: Node, arguments: list[Floats]) -> Floats:
        made = _apply(node, arguments, wide)
        if _makes_channels(node):
            squares = np.square(wide[f"{node.layer.name}/kernel"]).sum(axis=(0, 1))
            carried = _variance(arguments[0])[:, None] * squares
            share = (carried / (_variance(made) + _EPSILON)).mean(axis=-1)
            group = groups[node.inputs[0]]
            shares[group] = shares.get(group, 0.0) + share
        return made

    graph.run([pictures], apply, forget=True)
    kept = {}
    for node in filter(_makes_channels, graph.nodes):
        group, known = groups[node.output], wide[f"{node.layer.name}/bias"].size
        # Of channels that no convolution reads all are taken: those of the outputs.
        order = np.argsort(-shares.get(group, np.zeros(known)), kind="stable")
        kept[group] = np.sort(order[: int(node.layer.filters)])
    return kept


def _variance(values: Floats) -> NDArray[np.float64]:
    return np.asarray(values.reshape(-1, values.shape[-1]).var(axis=0, dtype=np.float64))


def _apply(node: Node, arguments: list[Floats], arrays: Arrays) -> Floats:
    """Evaluate a call, of a convolution with the weights of ``arrays``."""
    layer = node.layer
    if isinstance(layer, keras.layers.BatchNormalization):
        return arguments[0]
    if not isinstance(layer, _WEIGHTED):
        return np.asarray(ops.convert_to_numpy(call_layer(layer, list(arguments))))
    convolve = ops.conv if _makes_channels(node) else ops.depthwise_conv
    kernel, bias = (arrays[f"{layer.name}/{part}"] for part in ("kernel", "bias"))
    made = convolve(arguments[0], kernel, strides=layer.strides[0], padding=layer.padding)
    return np.asarray(ops.convert_to_numpy(made) + bias, np.float32)


def _taken(wide: Arrays, node: Node, read: Indices | None, made: Indices) -> Floats:
    """Return the kernel with the channels that are left; ``read`` is None for a picture's."""
    kernel = np.asarray(wide[f"{node.layer.name}/kernel"], np.float32)
    if not _makes_channels(node):
        return kernel[:, :, made]
    return (kernel if read is None else kernel[:, :, read])[..., made]


def _fitted(node: Node, kernel: Floats, given: Floats, wanted: Floats) -> dict[str, Floats]:
    """Return the kernel and bias that best make ``wanted`` (B, h, w, C) out of ``given``."""
    name = node.layer.name
    zero = np.zeros(wanted.shape[-1], np.float32)
    if kernel.shape[:2] == (1, 1) and _makes_channels(node):
        step = node.layer.strides[0]
        inputs, results = _sampled(given[:, ::step, ::step], wanted)
        kernel = _least_squares(inputs, results, kernel[0, 0])[None, None]
    else:
        trial = _apply(node, [given], {f"{name}/kernel": kernel, f"{name}/bias": zero})
        inputs, results = _sampled(trial, wanted)
        factor = _factors(inputs, results)
        kernel = kernel * (factor if _makes_channels(node) else factor[:, None])
    made = _apply(node, [given], {f"{name}/kernel": kernel, f"{name}/bias": zero})
    bias = (wanted - made).mean(axis=(0, 1, 2))
    return {f"{name}/kernel": kernel, f"{name}/bias": bias}


def _sampled(given: Floats, wanted: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the same positions of both, without their means: (positions, channels)."""
    rows = [np.asarray(v.reshape(-1, v.shape[-1]), np.float64) for v in (given, wanted)]
    count = len(rows[0])
    chosen = np.random.default_rng(0).permutation(count)[:_POSITIONS]
    inputs, results = (values[chosen] for values in rows)
    return inputs - inputs.mean(axis=0), results - results.mean(axis=0)


def _least_squares(
    inputs: NDArray[np.float64], results: NDArray[np.float64], before: Floats
) -> Floats:
    """Return W that minimizes |inputs W - results|² + ridge |W - before|²."""
    moments = inputs.T @ inputs
    ridge = _RIDGE * np.trace(moments) / len(moments) + _EPSILON
    right = inputs.T @ results + ridge * before
    solved = np.linalg.solve(moments + ridge * np.eye(len(moments)), right)
    return solved.astype(np.float32)


def _factors(inputs: NDArray[np.float64], results: NDArray[np.float64]) -> Floats:
    """Return for each channel the factor a that minimizes |a inputs - results|²."""
    power = np.square(inputs).sum(axis=0)
    ridge = _RIDGE * power.mean() + _EPSILON
    factors = ((inputs * results).sum(axis=0) + ridge) / (power + ridge)
    return np.asarray(factors, np.float32)
