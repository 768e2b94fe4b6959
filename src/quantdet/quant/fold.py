"""Rewrite a float model into the few layer types that integer hardware has.

After :func:`simplify` every convolution and dense layer is linear with a bias, BatchNorm and input
Normalization are folded away:

    y = gamma * (w*x + b - mean) / sqrt(var + eps) + beta
      = (s*w)*x + (b - mean)*s + beta,   s = gamma / sqrt(var + eps)

(Jacob et al. 2018, arXiv:1712.05877, section 3.2). The result computes the same function up to
float rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial

import keras
import numpy as np

from quantdet.errors import QuantizationError
from quantdet.quant.activations import activation_kind
from quantdet.quant.affine import Vector, affine_layer, chain, picture_calls, scale_and_shift
from quantdet.quant.compose import compose_activations
from quantdet.quant.graph import Graph, Node, build_model, with_shapes
from quantdet.quant.reader import read_graph
from quantdet.quant.relus import merge_relus, relus_before_moves
from quantdet.quant.rules import AFFINE, IDENTITIES, describe
from quantdet.quant.weighted import WEIGHTED, scale_input, scale_output, weights_of

_GLOBAL_POOLS = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
_POOLS = (keras.layers.AveragePooling2D, keras.layers.MaxPooling2D)
# In units of the input: half a level of a picture in [-1, 1], by which conventions of zero differ.
_NEGLIGIBLE_SHIFT = 0.51 / 127.5


def simplify(graph: Graph, *, over_borders: bool = False) -> Graph:
    """Apply every rewriting pass of this module.

    Args:
        graph: as read.
        over_borders: see :func:`fold_affine_before`.
    """
    for rewrite in (
        merge_repeated_calls,
        drop_identities,
        split_separable,
        compose_activations,
        merge_repeated_calls,
        relus_before_moves,
        merge_relus,
        merge_affine,
        fold_affine_after,
        partial(fold_affine_before, over_borders=over_borders),
        replace_affine,
        merge_repeated_calls,
        relus_before_moves,
    ):
        graph = with_shapes(rewrite(graph))
    return graph


def fold_batch_norm(model: keras.Model, *, over_borders: bool = False) -> keras.Model:
    """Return a float model without BatchNorm that computes the same in inference.

    Args:
        model: functional Keras model.
        over_borders: see :func:`fold_affine_before`.

    On TensorFlow's CPU kernels it also trains about twice as fast. The argument is not changed.
    """
    simple = simplify(read_graph(model), over_borders=over_borders)
    folded = build_model(simple, f"{model.name}_folded")
    trainable = {layer.name: layer.trainable for layer in model.layers}
    for layer in folded.layers:
        layer.trainable = trainable.get(layer.name, True)
    return folded


def drop_identities(graph: Graph) -> Graph:
    """Remove layers that do nothing in inference; pools of single values become reshapes."""
    kept: list[Node] = []
    renamed: dict[int, int] = {}
    for node in graph.nodes:
        alone = _pools_single_values(node, graph)
        if alone and graph.shapes[node.output] != graph.shapes[node.inputs[0]]:
            shape = graph.shapes[node.output][1:]
            kept.append(
                Node(keras.layers.Reshape(shape, name=node.layer.name), node.inputs, node.output)
            )
        elif alone or type(node.layer) in IDENTITIES or activation_kind(node.layer) == "linear":
            renamed[node.output] = node.inputs[0]
        else:
            kept.append(node)
    return graph.rewrite(kept, renamed)


def _pools_single_values(node: Node, graph: Graph) -> bool:
    """Tell a mean or maximum over one value each, which the converter takes out."""
    shape = graph.shapes[node.inputs[0]]
    if type(node.layer) in _GLOBAL_POOLS:
        return shape[1:3] == (1, 1) and node.layer.data_format == "channels_last"
    return type(node.layer) in _POOLS and all(
        size == 1 for size in (*node.layer.pool_size, *node.layer.strides)
    )


def merge_repeated_calls(graph: Graph) -> Graph:
    """Compute a layer that is called twice on the same tensors once, as the converter will.

    Two layers without weights that do the same to one tensor are the same call, too: the
    converter would merge them and then have two ranges for one result.
    """
    first: dict[tuple[Hashable, tuple[int, ...]], int] = {}
    renamed: dict[int, int] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(renamed.get(tensor, tensor) for tensor in node.inputs)
        earlier = first.setdefault((function_of(node.layer), inputs), node.output)
        if earlier == node.output:
            kept.append(node)
        else:
            renamed[node.output] = earlier
    return graph.rewrite(kept, renamed)


def function_of(layer: keras.Layer) -> Hashable:
    """Return what tells the function of a layer from others; one with weights is like no other."""
    kind = activation_kind(layer)
    if kind is not None:
        return kind
    if not isinstance(layer, keras.layers.Layer) or layer.weights:
        return id(layer)
    config = {key: value for key, value in layer.get_config().items() if key != "name"}
    return type(layer).__name__, repr(sorted(config.items()))


def split_separable(graph: Graph) -> Graph:
    """Write SeparableConv2D as DepthwiseConv2D without bias and a 1x1 Conv2D."""
    fresh = graph.new_tensor()
    nodes: list[Node] = []
    made: dict[int, tuple[keras.Layer, keras.Layer]] = {}
    for node in graph.nodes:
        if not isinstance(node.layer, keras.layers.SeparableConv2D):
            nodes.append(node)
            continue
        if id(node.layer) not in made:
            made[id(node.layer)] = _separate(node.layer)
        depthwise, pointwise = made[id(node.layer)]
        nodes += [Node(depthwise, node.inputs, fresh), Node(pointwise, (fresh,), node.output)]
        fresh += 1
    return graph.rewrite(nodes)


def merge_affine(graph: Graph) -> Graph:
    """Write two layers that scale and shift, one behind the other, as one."""
    producers = graph.producers()
    nodes = {node.output: node for node in graph.nodes}
    for node in graph.nodes:
        before = nodes.get(node.inputs[0]) if type(node.layer) in AFFINE else None
        if before is None or type(before.layer) not in AFFINE:
            continue
        if graph.only_consumer(producers[before.output].output) is None:
            continue
        (a, b), (c, d) = scale_and_shift(before.layer), scale_and_shift(node.layer)
        merged = _rescaling(node.layer.name, a * c, b * c + d)
        nodes[node.output] = Node(merged, before.inputs, node.output)
        del nodes[before.output]
    return graph.rewrite(nodes[n.output] for n in graph.nodes if n.output in nodes)


def _rescaling(name: str, scale: Vector, shift: Vector) -> keras.Layer:
    return keras.layers.Rescaling(scale.tolist(), shift.tolist(), name=name)


def fold_affine_after(graph: Graph) -> Graph:
    """Fold each BatchNorm or Rescaling into the convolution or dense layer right before it."""
    producers = graph.producers()
    folded: dict[tuple[int, int], keras.Layer] = {}
    replaced: dict[int, Node] = {}
    gone: set[int] = set()
    for node in graph.nodes:
        if type(node.layer) not in AFFINE:
            continue
        before = producers.get(node.inputs[0])
        if before is None or not isinstance(before.layer, WEIGHTED):
            continue
        if graph.only_consumer(before.output) is None or _widens(before, node, graph):
            continue
        # A shared pair (same layer, same BatchNorm) stays shared; other pairs get own weights.
        key = (id(before.layer), id(node.layer))
        if key not in folded:
            folded[key] = scale_output(before.layer, *scale_and_shift(node.layer))
        replaced[node.output] = Node(folded[key], before.inputs, node.output)
        gone.add(before.output)
    nodes = [replaced.get(node.output, node) for node in graph.nodes if node.output not in gone]
    return graph.rewrite(_unique_names(nodes))


def _widens(before: Node, after: Node, graph: Graph) -> bool:
    """Tell a scale per channel on a tensor of one channel: the result has more."""
    return graph.shapes[before.output] != graph.shapes[after.output]


def fold_affine_before(graph: Graph, *, over_borders: bool = False) -> Graph:
    """Fold each Normalization or Rescaling into the convolution or dense layer behind it.

    Only where that is exact. A padded border holds 0 behind the layer, which would become the
    value that the layer maps to 0: a shift is folded only where nothing is padded, or where it is
    below half a level of a picture.

    Args:
        graph: affine layers may be left in it.
        over_borders: fold all the same, for a net that is trained afterwards as it then is.
    """
    while True:
        pair = next(_affine_before_weighted(graph, over_borders), None)
        if pair is None:
            return graph
        node, path = pair
        reader = path[-1]
        scaled = scale_input(reader.layer, *scale_and_shift(node.layer))
        moved = _without(graph, node, path, scaled)
        graph = graph.rewrite(moved)


def _without(graph: Graph, node: Node, path: Sequence[Node], scaled: keras.Layer) -> list[Node]:
    """Return the calls without ``node``; the last layer of the path behind it is ``scaled``."""
    source, fresh, new = node.inputs[0], graph.new_tensor(), {}
    for number, step in enumerate(path[:-1]):
        # Padding of values that are not scaled: another tensor than before.
        new[step.output] = Node(step.layer, (source,), fresh + number)
        source = fresh + number
    new[path[-1].output] = Node(scaled, (source,), path[-1].output)
    return [new.get(other.output, other) for other in graph.nodes if other is not node]


def _affine_before_weighted(graph: Graph, over_borders: bool) -> Iterator[tuple[Node, list[Node]]]:
    """Yield each such layer with the calls up to the one that it can be folded into."""
    for node in graph.nodes:
        if type(node.layer) not in (keras.layers.Normalization, keras.layers.Rescaling):
            continue
        path = []
        reader = graph.only_consumer(node.output)
        if reader is not None and isinstance(reader.layer, keras.layers.ZeroPadding2D):
            path.append(reader)
            reader = graph.only_consumer(reader.output)
        if reader is None or not isinstance(reader.layer, WEIGHTED):
            continue
        path.append(reader)
        shared = sum(other.layer is reader.layer for other in graph.nodes) > 1
        if not shared and (over_borders or _folds_exactly(node, path, graph)):
            yield node, path


def _folds_exactly(node: Node, path: Sequence[Node], graph: Graph) -> bool:
    if graph.shapes[node.inputs[0]] != graph.shapes[node.output]:
        return False
    layer, (scale, shift) = path[-1].layer, scale_and_shift(node.layer)
    if (np.abs(shift) <= _NEGLIGIBLE_SHIFT * np.abs(scale)).all():
        return True
    padded = len(path) > 1 or (layer.padding != "valid" if hasattr(layer, "padding") else False)
    one_by_one = len(path) == 1 and all(k == 1 for k in getattr(layer, "kernel_size", (1,)))
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    return (not padded or one_by_one) and not transposed


def replace_affine(graph: Graph) -> Graph:
    """Write a BatchNorm, Normalization or Rescaling that is left as a 1x1 depthwise convolution.

    Raises:
        QuantizationError: it gives a tensor of one channel several.
    """
    nodes: list[Node] = []
    fresh = graph.new_tensor()
    made: dict[tuple[int, int | None], keras.Layer] = {}
    for node in graph.nodes:
        if type(node.layer) not in AFFINE:
            nodes.append(node)
            continue
        shape = graph.shapes[node.output]
        if graph.shapes[node.inputs[0]] != shape:
            raise QuantizationError(
                f"{describe(node.layer)} scales a tensor of one channel to {shape[-1]}; "
                "concatenate it to that many first"
            )
        # One number for all channels can be shared by tensors of other channels.
        key = (id(node.layer), shape[-1])
        if key not in made:
            made[key] = affine_layer(node.layer.name, shape, *scale_and_shift(node.layer))
        nodes += picture_calls([made[key]], (node.inputs, node.output), shape, fresh)
        fresh += 2
    return graph.rewrite(_unique_names(nodes))


def dense_as_convolution(graph: Graph, chosen: Callable[[str], bool]) -> Graph:
    """Write dense layers on vectors as 1x1 convolutions, which can have a scale per channel.

    Args:
        graph: simplified.
        chosen: tells for a layer name whether that layer is meant.
    """
    nodes: list[Node] = []
    fresh = graph.new_tensor()
    made: dict[int, keras.Layer] = {}
    moved: set[int] = set()
    for node in graph.nodes:
        layer = node.layer
        if node.output in moved:
            continue
        if not _is_dense_on_vector(layer) or not chosen(layer.name):
            nodes.append(node)
            continue
        if id(layer) not in made:
            made[id(layer)] = _as_convolution(layer)
        calls, output = [made[id(layer)]], node.output
        reader = graph.only_consumer(output)
        if reader is not None and activation_kind(reader.layer) in ("relu", "relu6", "relu1"):
            # Inside, the kernels fuse it with the convolution.
            calls.append(reader.layer)
            output = reader.output
            moved.add(output)
        up = keras.layers.Reshape((1, 1, layer.kernel.shape[0]), name=f"{layer.name}_to_picture")
        down = keras.layers.Reshape((layer.units,), name=f"{layer.name}_to_vector")
        nodes += chain([up, *calls, down], (node.inputs, output), fresh)
        fresh += len(calls) + 1
    return graph.rewrite(_unique_names(nodes))


def _is_dense_on_vector(layer: keras.Layer) -> bool:
    dense = isinstance(layer, keras.layers.Dense)
    return dense and len(layer.get_build_config()["input_shape"]) == 2


def _as_convolution(layer: keras.Layer) -> keras.Layer:
    kernel, bias = weights_of(layer)
    convolution = keras.layers.Conv2D(layer.units, 1, name=layer.name)
    convolution.build((None, 1, 1, kernel.shape[0]))
    convolution.set_weights([kernel[None, None].astype(np.float32), bias.astype(np.float32)])
    return convolution


def _separate(layer: keras.Layer) -> tuple[keras.Layer, keras.Layer]:
    weights = layer.get_weights()
    config = layer.get_config()
    shared = ("strides", "padding", "data_format", "dilation_rate")
    depthwise = keras.layers.DepthwiseConv2D(
        layer.kernel_size,
        depth_multiplier=layer.depth_multiplier,
        use_bias=False,
        name=f"{layer.name}_depthwise",
        **{key: config[key] for key in shared},
    )
    channels, multiplier = weights[0].shape[-2:]
    depthwise.build((None, None, None, channels))
    depthwise.set_weights(weights[:1])
    pointwise = keras.layers.Conv2D(layer.filters, 1, use_bias=layer.use_bias, name=layer.name)
    pointwise.build((None, None, None, channels * multiplier))
    pointwise.set_weights(weights[1:])
    return depthwise, pointwise


def _unique_names(nodes: list[Node]) -> list[Node]:
    """Rename layers that were one shared layer before folding gave them different weights."""
    seen: dict[str, keras.Layer] = {}
    for node in nodes:
        name, number = node.layer.name, 1
        while node.layer.name in seen and seen[node.layer.name] is not node.layer:
            node.layer.name = f"{name}_{number}"
            number += 1
        seen[node.layer.name] = node.layer
    return nodes
