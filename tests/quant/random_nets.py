"""Random functional Keras nets, each a short Python program that follows from one integer.

A net that shows a fault is kept as its integer; ``str(net)`` is the program, ready to be run
by hand. What can occur in a program is a table, KINDS: one row for a layer or an operation.
"""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers as kl
from keras import ops

PICTURES = 8
_MOST_VALUES = 4096
_TRIES = 30


class UnbuildableError(Exception):
    """Keras itself refuses the program, or cannot compute it."""


@dataclass(frozen=True)
class Kind:
    """How calls of one layer class or operation are written.

    All texts are Python, with {c} for the channels, {h} and {w} for the first two sizes of the
    tensor that is taken.

    Attributes:
        template: the call: {x} is the tensor, {y} and {z} others of its shape, {arguments} what
            follows from the other fields.
        given: the values of each argument that has no default.
        options: keyword arguments; a few are given.
        rare: keyword arguments that are given now and then, because most are refused.
        axes: how many axes tensors have that it takes, batch included.
        often: how often it occurs relative to others.
        odd: occurs in few nets only, because most that have it are refused.
    """

    template: str
    given: tuple[tuple[str, ...], ...] = ()
    options: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    axes: tuple[int, ...] = (4,)
    often: int = 4
    odd: bool = False

    @property
    def layer(self) -> type | None:
        """The layer class, None for an operation."""
        found = re.match(r"kl\.(\w+)\(\{arguments\}\)\(", self.template)
        return getattr(kl, found[1]) if found else None

    @property
    def can_be_shared(self) -> bool:
        """Whether the call is one of a layer on one tensor."""
        return self.layer is not None and self.template.endswith("({x})")


def _layer(name: str, *given: tuple[str, ...], operands: str = "{x}", **fields: Any) -> Kind:
    return Kind(f"kl.{name}({{arguments}})({operands})", given, **fields)


def _keywords(name: str, *values: str) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for value in values)


_COUNTS = ("4", "1", "2", "3", "6", "8")
_KERNELS = ("3", "1", "2", "(1, 3)", "(3, 2)", "5")
_NAMES = ("relu", "relu6", "sigmoid", "tanh", "swish", "hard_sigmoid", "hard_silu", "linear")
_MORE_NAMES = ("leaky_relu", "softmax", "gelu", "elu", "selu", "softplus", "exponential", "mish")
# Functions of a user's own that share their names with some of Keras'.
_LOOK_ALIKES = ("own_relu", "own_hard_sigmoid", "own_swish")
_ACTIVATION_VALUES = tuple(f"'{name}'" for name in _NAMES)
_MORE_ACTIVATION_VALUES = tuple(f"'{name}'" for name in _MORE_NAMES) + _LOOK_ALIKES
_ACTIVATIONS = _keywords("activation", *_ACTIVATION_VALUES)
_MORE_ACTIVATIONS = _keywords("activation", *_MORE_ACTIVATION_VALUES)
_CHANNELS_FIRST = ("data_format='channels_first'",)
_BORDERED = ("padding='same'", "strides=2", "dilation_rate=2", "dilation_rate=(1, 2)")
_POOLED = ("strides=1", "strides=2", "strides=(2, 1)", "padding='same'")
_SLOPES = "np.linspace(0.1, 0.4, {c}).tolist()"
_MEANS, _VARIANCES = "np.linspace(-0.5, 0.7, {c})", "np.linspace(0.4, 2.0, {c})"
_NORMALIZED = ("epsilon=0.1", "center=False", "scale=False")
_PAIR, _TRIPLE = "[{x}, {y}]", "[{x}, {y}, {z}]"
_VECTORS_AND_PICTURES = (2, 3, 4)

LAYERS = (
    _layer(
        "Conv2D",
        _COUNTS,
        _KERNELS,
        options=(*_BORDERED, "strides=(1, 2)", "groups=2", "use_bias=False", *_ACTIVATIONS),
        rare=(
            *_CHANNELS_FIRST,
            *_MORE_ACTIVATIONS,
            "groups={c}",
            "lora_rank=2",
            "lora_rank=2, lora_alpha=3.0",
        ),
        often=60,
    ),
    _layer(
        "DepthwiseConv2D",
        _KERNELS,
        options=(*_BORDERED, "depth_multiplier=2", "use_bias=False", *_ACTIVATIONS),
        rare=(*_CHANNELS_FIRST, *_MORE_ACTIVATIONS),
        often=24,
    ),
    _layer(
        "SeparableConv2D",
        _COUNTS,
        _KERNELS,
        options=(*_BORDERED, "depth_multiplier=2", "use_bias=False", *_ACTIVATIONS),
        rare=(*_CHANNELS_FIRST, *_MORE_ACTIVATIONS),
        often=14,
    ),
    _layer(
        "Conv2DTranspose",
        _COUNTS,
        _KERNELS,
        options=(
            "padding='same'",
            "strides=2",
            "strides=(2, 1)",
            "output_padding=1, strides=2",
            "output_padding=(1, 0), strides=2",
            "use_bias=False",
            *_ACTIVATIONS,
        ),
        rare=(*_CHANNELS_FIRST, *_MORE_ACTIVATIONS, "dilation_rate=2"),
        often=8,
    ),
    _layer(
        "Dense",
        _COUNTS,
        options=("use_bias=False", *_ACTIVATIONS),
        rare=(*_MORE_ACTIVATIONS, "lora_rank=2", "lora_rank=2, lora_alpha=3.0"),
        axes=_VECTORS_AND_PICTURES,
        often=10,
    ),
    _layer(
        "BatchNormalization",
        options=("epsilon=0.1", "center=False", "scale=False", "momentum=0.9", "axis=3"),
        rare=("axis=1", "axis=2", "renorm=True"),
        axes=_VECTORS_AND_PICTURES,
        often=30,
    ),
    _layer(
        "Normalization",
        options=(
            f"mean={_MEANS}, variance={_VARIANCES}",
            f"mean={_MEANS}, variance={_VARIANCES}, invert=True",
            "mean=0.2, variance=1.7, axis=None",
            "mean=np.linspace(-0.5, 0.7, {h}), variance=np.linspace(0.5, 1.5, {h}), axis=1",
            "mean=np.linspace(-0.5, 0.7, {h} * {c}).reshape({h}, {c}), "
            "variance=np.full(({h}, {c}), 0.5), axis=(1, -1)",
        ),
        axes=_VECTORS_AND_PICTURES,
        often=8,
    ),
    _layer(
        "Rescaling",
        ("0.5", "2.0", "-1.0", _SLOPES),
        options=("offset=0.25", "offset=-1.0", f"offset={_SLOPES}"),
        axes=_VECTORS_AND_PICTURES,
        often=8,
    ),
    _layer(
        "ReLU",
        options=("max_value=6.0", "max_value=1.0"),
        rare=("max_value=2.5", "negative_slope=0.1", "threshold=0.5", "negative_slope=0.25"),
        axes=_VECTORS_AND_PICTURES,
        often=8,
    ),
    _layer(
        "LeakyReLU",
        options=_keywords("negative_slope", "0.1", "0.0", "0.7"),
        axes=_VECTORS_AND_PICTURES,
    ),
    _layer("PReLU", ("shared_axes=[1, 2]",)),
    _layer("PReLU", axes=(2,)),
    _layer("PReLU", rare=("shared_axes=[1]", "shared_axes=[2]"), odd=True),
    _layer("ELU", rare=("alpha=0.5",), often=2, odd=True),
    _layer("Softmax", options=("axis=3", "axis=-1"), rare=("axis=1", "axis=[1, 2]"), often=2),
    _layer("Softmax", axes=(2,), options=("axis=1",), often=3),
    _layer("Activation", _ACTIVATION_VALUES, axes=_VECTORS_AND_PICTURES, often=10),
    _layer("Activation", _MORE_ACTIVATION_VALUES, axes=_VECTORS_AND_PICTURES, odd=True),
    *(
        _layer(name, operands=operands, axes=_VECTORS_AND_PICTURES, often=often)
        for name in ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average")
        for operands, often in ((_PAIR, 4), (_TRIPLE, 1))
        if (name, operands) != ("Subtract", _TRIPLE)
    ),
    _layer(
        "Concatenate",
        options=("axis=1", "axis=2", "axis=3"),
        operands=_PAIR,
        often=8,
    ),
    _layer("Concatenate", options=("axis=1",), operands=_TRIPLE, axes=(2, 3)),
    _layer(
        "ZeroPadding2D",
        options=_keywords("padding", "2", "(0, 1)", "((1, 0), (0, 2))"),
        rare=_CHANNELS_FIRST,
    ),
    _layer(
        "Cropping2D",
        options=_keywords("cropping", "1", "(0, 1)", "((1, 0), (0, 2))"),
        rare=_CHANNELS_FIRST,
        often=2,
    ),
    _layer(
        "MaxPooling2D",
        options=(*_keywords("pool_size", "3", "(1, 2)"), *_POOLED),
        rare=_CHANNELS_FIRST,
        often=8,
    ),
    _layer(
        "AveragePooling2D",
        ("2", "3", "(1, 2)"),
        options=_POOLED,
        rare=_CHANNELS_FIRST,
        often=8,
    ),
    _layer("GlobalAveragePooling2D", options=("keepdims=True",), rare=_CHANNELS_FIRST),
    _layer("GlobalMaxPooling2D", options=("keepdims=True",), rare=_CHANNELS_FIRST, often=2),
    _layer("Reshape", ("({h} * {w}, {c})", "(-1, {c})", "({w}, {h}, {c})", "({c}, {h}, {w})")),
    _layer("Reshape", ("(1, 1, {c})", "({c}, 1)"), axes=(2,), often=6),
    _layer("Flatten", rare=_CHANNELS_FIRST, axes=(3, 4), often=3),
    _layer("Permute", ("(2, 1, 3)", "(3, 1, 2)", "(1, 3, 2)"), often=2),
    _layer(
        "UpSampling2D",
        options=(*_keywords("size", "3", "(1, 2)"), "interpolation='bilinear'"),
        rare=(*_CHANNELS_FIRST, "interpolation='bicubic'", "interpolation='lanczos3'"),
    ),
    _layer(
        "Resizing",
        ("5", "8", "10"),
        ("6", "11"),
        options=("interpolation='nearest'",),
        rare=(
            "interpolation='bicubic'",
            "crop_to_aspect_ratio=True",
            "pad_to_aspect_ratio=True",
            "pad_to_aspect_ratio=True, fill_value=0.5",
            "pad_to_aspect_ratio=True, fill_mode='constant'",
            "antialias=True",
            *_CHANNELS_FIRST,
        ),
    ),
    _layer("Dropout", ("0.5",), axes=_VECTORS_AND_PICTURES, rare=("noise_shape=(1, 1, 1, {c})",)),
    _layer("SpatialDropout2D", ("0.5",), rare=_CHANNELS_FIRST, often=1),
    _layer("GaussianDropout", ("0.5",), often=1),
    _layer("GaussianNoise", ("0.5",), often=1),
    _layer("AlphaDropout", ("0.5",), rare=("noise_shape=(1, 1, 1, {c})",), often=1),
    _layer("ActivityRegularization", options=("l1=0.1", "l2=0.1"), often=1),
    _layer("Identity", often=1),
    _layer("RandomFlip", rare=("mode='horizontal'", *_CHANNELS_FIRST), odd=True),
    _layer(
        "LayerNormalization",
        rare=("axis=[1, 2, 3]", "axis=1", *_NORMALIZED),
        axes=_VECTORS_AND_PICTURES,
        odd=True,
    ),
    _layer("GroupNormalization", ("2", "1"), rare=("axis=1", *_NORMALIZED), odd=True),
    _layer("UnitNormalization", rare=("axis=1",), axes=(2, 4), odd=True),
    _layer(
        "Conv1D",
        _COUNTS,
        ("3",),
        options=("padding='same'", "strides=2", "use_bias=False"),
        rare=(
            *("padding='causal'", "dilation_rate=2", "groups=2", *_ACTIVATIONS),
            *("lora_rank=2", "lora_rank=2, lora_alpha=3.0", *_CHANNELS_FIRST),
        ),
        axes=(3,),
        odd=True,
    ),
)

_UNARY = ("relu", "relu6", "sigmoid", "tanh", "silu", "hard_sigmoid", "hard_silu", "leaky_relu")
_MORE_UNARY = ("gelu", "elu", "softplus", "abs", "square", "exp", "negative")
_BINARY = ("add", "subtract", "multiply", "maximum", "minimum")
_GATE = "kl.Dense({c}, activation='sigmoid')(kl.GlobalAveragePooling2D(keepdims=True)({x}))"

OPERATIONS = (
    *(Kind(f"ops.{name}({{x}})", axes=_VECTORS_AND_PICTURES, often=1) for name in _UNARY),
    *(Kind(f"ops.{name}({{x}})", axes=_VECTORS_AND_PICTURES, odd=True) for name in _MORE_UNARY),
    *(Kind(f"ops.{name}({{x}}, {{y}})", axes=_VECTORS_AND_PICTURES, often=1) for name in _BINARY),
    Kind("{x} + {y}", axes=_VECTORS_AND_PICTURES),
    Kind("{x} - {y}", axes=_VECTORS_AND_PICTURES, often=1),
    Kind("{x} * {y}", axes=_VECTORS_AND_PICTURES, often=1),
    Kind("{x} * 0.7", axes=_VECTORS_AND_PICTURES, often=2),
    Kind("{x} / 3.0", axes=_VECTORS_AND_PICTURES, often=1),
    Kind("{x} + 0.4", axes=_VECTORS_AND_PICTURES, often=2),
    Kind("1.0 - {x}", axes=_VECTORS_AND_PICTURES, often=2),
    Kind("-{x}", axes=_VECTORS_AND_PICTURES, often=1),
    Kind("{x} ** 2", axes=_VECTORS_AND_PICTURES, odd=True),
    Kind("{x} * np.linspace(0.3, 1.5, {c}, dtype='float32')", axes=_VECTORS_AND_PICTURES, often=2),
    Kind("{x} + np.linspace(-1, 1, {w} * {c}, dtype='float32').reshape({w}, {c})", odd=True),
    Kind("kl.Multiply()([{x}, " + _GATE + "])", often=4),
    Kind("kl.Multiply()([" + _GATE + ", {x}])", often=1),
    Kind("kl.Add()([{x}, kl.BatchNormalization()(kl.Conv2D({c}, 3, padding='same')({x}))])"),
    Kind("ops.concatenate([{x}, {y}], axis=-1)", axes=_VECTORS_AND_PICTURES, often=2),
    Kind("ops.concatenate([{x}, {y}], axis=1)", axes=_VECTORS_AND_PICTURES, often=1),
    Kind("ops.mean({x}, axis=(1, 2))", often=2),
    Kind("ops.mean({x}, axis=(1, 2), keepdims=True)", often=1),
    Kind("ops.mean({x}, axis=-1, keepdims=True)", often=1),
    Kind("ops.max({x}, axis=(1, 2))", often=1),
    Kind("ops.max({x}, axis=-1, keepdims=True)", odd=True),
    Kind("ops.sum({x}, axis=-1, keepdims=True)", odd=True),
    Kind("{x}[..., :2]", axes=_VECTORS_AND_PICTURES, often=2),
    Kind("{x}[..., ::-1]", odd=True),
    Kind("{x}[:, 1:, :-1, :]", often=1),
    Kind("{x}[:, ::2, 1::2]", often=1),
    Kind("ops.split({x}, 2, axis=-1)", often=2),
    Kind("ops.reshape({x}, (-1, {h} * {w}, {c}))", often=1),
    Kind("ops.transpose({x}, (0, 2, 1, 3))", often=1),
    Kind("ops.pad({x}, ((0, 0), (1, 1), (2, 0), (0, 0)))", often=1),
    Kind("ops.pad({x}, ((0, 0), (1, 1), (0, 0), (0, 0)), constant_values=0.5)", odd=True),
    Kind("ops.pad({x}, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='reflect')", odd=True),
    Kind("ops.image.resize({x}, (6, 10), interpolation='nearest')", often=1),
    Kind("ops.image.resize({x}, (8, 5))", often=1),
    Kind("ops.clip({x}, 0.0, 6.0)", axes=_VECTORS_AND_PICTURES, often=1),
    Kind("ops.clip({x}, -0.5, 0.8)", axes=_VECTORS_AND_PICTURES, often=1),
    Kind("ops.softmax({x})", axes=_VECTORS_AND_PICTURES, odd=True),
    Kind("ops.max_pool({x}, 2)", often=1),
    Kind("ops.average_pool({x}, 2, padding='same')", often=1),
    Kind("ops.squeeze(ops.expand_dims({x}, 1), 1)", odd=True),
)

KINDS = LAYERS + OPERATIONS

# What pixels of 0 to 255 go through first; {data} are the pictures.
_PIXEL_HEADS = (
    "kl.Rescaling(1 / 127.5, offset=-1.0)({x})",
    "kl.Rescaling(1 / 255)({x})",
    "kl.Normalization(mean=[120.0, 110.0, 100.0][:{c}], variance=[3600.0] * {c})({x})",
    "adapted(kl.Normalization(), {data})({x})",
    "adapted(kl.Normalization(axis=None), {data})({x})",
    "adapted(kl.Normalization(axis=(1, -1)), {data})({x})",
    "adapted(kl.Normalization(), {data} / 255)(kl.Rescaling(1 / 255)({x}))",
    "{x} / 127.5 - 1.0",
    "({x} - np.array([120.0, 110.0, 100.0][:{c}], 'float32')) / 60.0",
)


def own_relu(x: Any) -> Any:
    """Leak, whatever the name says."""
    return ops.maximum(x, 0.3 * x)


def own_hard_sigmoid(x: Any) -> Any:
    """Have the slope of Keras 2, not that of Keras 3."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def own_swish(x: Any) -> Any:
    """Have a steeper gate than Keras'."""
    return x * ops.sigmoid(2.0 * x)


own_relu.__name__, own_hard_sigmoid.__name__, own_swish.__name__ = "relu", "hard_sigmoid", "silu"


def adapted(layer: Any, data: Any) -> Any:
    """Return a Normalization with the statistics of ``data``."""
    layer.adapt(data)
    return layer


@dataclass(frozen=True)
class Net:
    """A net and what it is fed.

    Attributes:
        program: how it is made, without the weights.
        model: the Keras model.
        x: pictures, in the structure that the model takes.
        expected: output name in an exported file → what the model answers.
    """

    program: str
    model: Any
    x: Any
    expected: dict[str, np.ndarray]

    def __str__(self) -> str:
        return self.program

    @property
    def names(self) -> set[str]:
        """Names of all layers and operations, those of nested models included."""
        return {operation.name for operation in _operations(self.model)}


def _reads_beyond(layer: Any) -> bool:
    """Tell a convolution for which TensorFlow's CPU kernel gives other values at every call.

    Seen with TensorFlow 2.21: one channel, steps along the width, and a result one pixel wide.
    """
    if not isinstance(layer, keras.layers.Conv2D):
        return False
    (_, _, width, _), channels = layer.output.shape, layer.input.shape[-1]
    return channels == 1 and width == 1 and layer.strides[1] > 1


def random_net(seed: int) -> Net:
    """Return the net of an integer.

    Raises:
        UnbuildableError: this integer stands for none.
    """
    program = _Writer(random.Random(seed)).write()
    return finish(program.source, program.scope, seed)


def finish(source: str, scope: dict[str, Any], seed: int) -> Net:
    """Return the net of a program that was run.

    Args:
        source: the program.
        scope: its variables: ``model`` and ``x``.
        seed: of the weights.
    """
    model, x = scope["model"], scope["x"]
    random_weights(model, np.random.default_rng(seed))
    try:
        expected = _named(model(_tensors(x), training=False))
    except Exception as error:
        raise UnbuildableError(f"Keras cannot compute it: {error}") from None
    if any(_reads_beyond(layer) for layer in _operations(model)):
        raise UnbuildableError("TensorFlow's own convolution reads beyond its input")
    if not all(np.isfinite(y).all() and np.abs(y).max() < 1e6 for y in expected.values()):
        raise UnbuildableError("its values explode")
    return Net(source, model, x, expected)


def _tensors(x: Any) -> Any:
    return keras.tree.map_structure(lambda part: ops.convert_to_tensor(part, "float32"), x)


def _named(outputs: Any) -> dict[str, np.ndarray]:
    if isinstance(outputs, dict):
        return {name: np.asarray(y) for name, y in outputs.items()}
    flat = keras.tree.flatten(outputs)
    return {f"output_{i}": np.asarray(y) for i, y in enumerate(flat)}


def run_program(source: str, seed: int) -> Net:
    """Return the net of a program written by hand.

    Args:
        source: leaves ``model`` and ``x`` behind.
        seed: of the weights.
    """
    keras.utils.clear_session(free_memory=False)
    scope = dict(_SCOPE)
    exec(source, scope)
    return finish(source, scope, seed)


def pixels(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return pictures of noise and of soft edges, 0 to 255."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (PICTURES, *shape))
    coarse = rng.integers(0, 256, (PICTURES, *(1 for _ in shape[:-1]), shape[-1]))
    mixed = np.where(np.arange(PICTURES).reshape(-1, *(1 for _ in shape)) % 2, noise, coarse)
    return np.rint(0.7 * mixed + 0.3 * noise).astype(np.float32)


_SCOPE: dict[str, Any] = {
    "keras": keras,
    "kl": kl,
    "ops": ops,
    "np": np,
    "adapted": adapted,
    "pixels": pixels,
    "own_relu": own_relu,
    "own_hard_sigmoid": own_hard_sigmoid,
    "own_swish": own_swish,
}


def random_weights(model: Any, rng: np.random.Generator) -> None:
    """Draw every weight so that signals neither vanish nor explode."""
    for layer in _operations(model):
        if isinstance(layer, keras.layers.Layer) and not isinstance(layer, keras.Model):
            for weight in layer.weights:
                draw = _WEIGHTS.get(weight.path.rsplit("/", 1)[-1])
                if draw is not None:
                    weight.assign(draw(rng, tuple(weight.shape), _fan_in(layer, weight)))


def _fan_in(layer: Any, weight: Any) -> float:
    shape = weight.shape
    if isinstance(layer, kl.DepthwiseConv2D) or weight.path.endswith("depthwise_kernel"):
        return float(np.prod(shape[:2]))
    if isinstance(layer, kl.Conv2DTranspose) and len(shape) == 4:
        return float(np.prod(shape) / shape[-2])
    return float(np.prod(shape[:-1]))


def _kernel(rng: np.random.Generator, shape: tuple[int, ...], fan_in: float) -> np.ndarray:
    # Channels differ in size, as they do in trained nets.
    return rng.normal(0, 1.2 / np.sqrt(fan_in), shape) * rng.uniform(0.5, 1.5, shape[-1:])


_WEIGHTS: dict[str, Callable[[np.random.Generator, tuple[int, ...], float], np.ndarray]] = {
    "kernel": _kernel,
    "depthwise_kernel": _kernel,
    "pointwise_kernel": _kernel,
    "lora_kernel_a": _kernel,
    "lora_kernel_b": _kernel,
    "bias": lambda rng, shape, _: rng.normal(0, 0.3, shape),
    "beta": lambda rng, shape, _: rng.normal(0, 0.3, shape),
    "gamma": lambda rng, shape, _: rng.normal(1, 0.4, shape),
    "moving_mean": lambda rng, shape, _: rng.normal(0, 0.5, shape),
    "moving_variance": lambda rng, shape, _: rng.uniform(0.5, 2.5, shape),
    "alpha": lambda rng, shape, _: rng.uniform(-0.1 if rng.random() < 0.5 else 0.1, 0.5, shape),
}


def _operations(model: Any) -> Iterator[Any]:
    for operation in model._functional.operations if _is_sequential(model) else model.operations:
        yield operation
        if isinstance(operation, keras.Model):
            yield from _operations(operation)


def _is_sequential(model: Any) -> bool:
    return isinstance(model, keras.Sequential)


@dataclass
class _Program:
    """A program that is run line by line while it is written.

    Attributes:
        lines: so far.
        scope: its variables.
        tensors: names of those that the next line may take.
    """

    lines: list[str]
    scope: dict[str, Any]
    tensors: list[str]

    @property
    def source(self) -> str:
        return "\n".join(self.lines) + "\n"

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor without the batch."""
        return tuple(self.scope[name].shape[1:])

    def run(self, *lines: str) -> None:
        """Run and keep lines; keep none if one fails."""
        for line in lines:
            exec(line, self.scope)
        self.lines += lines

    def define(self, expression: str, *before: str) -> None:
        """Add the tensor, or the tensors, that an expression gives after other lines."""
        for line in before:
            exec(line, self.scope)
        value, name = eval(expression, self.scope), f"t{len(self.lines)}"
        several = isinstance(value, list | tuple)
        found = {f"{name}_{i}": part for i, part in enumerate(value)} if several else {name: value}
        for tensor in found.values():
            if tensor.dtype != "float32" or not 1 <= np.prod(tensor.shape[1:]) <= _MOST_VALUES:
                raise ValueError(f"shape {tensor.shape} of {tensor.dtype}")
        self.scope.update(found)
        self.tensors += found
        self.lines += [*before, f"{', '.join(found)} = {expression}"]


def fill(kind: Kind, texts: list[str], shape: tuple[int, ...], **tensors: str) -> str:
    """Return the call of a kind as Python.

    Args:
        kind: which.
        texts: its arguments.
        shape: of the tensor that it takes, without the batch.
        tensors: names or expressions for x, y, z.
    """
    sizes = {"c": shape[-1], "h": shape[0], "w": shape[1] if len(shape) > 1 else 1}
    arguments = ", ".join(texts).format(**sizes)
    return kind.template.format(arguments=arguments, **sizes, **tensors)


class _Writer:
    """Writes one random program."""

    def __init__(self, rng: random.Random) -> None:
        keras.utils.clear_session(free_memory=False)
        self._rng = rng
        self._program = _Program([], dict(_SCOPE), [])
        self._shared: list[str] = []
        self._odd = rng.random() < 0.25

    def write(self) -> _Program:
        if self._rng.random() < 0.08:
            self._sequential()
            return self._program
        names = self._inputs()
        for _ in range(self._rng.randint(3, 8)):
            self._some_line()
        self._model(names)
        return self._program

    def _inputs(self) -> list[str]:
        """Write the inputs and what their pixels go through first."""
        names = ["a", "b"] if self._rng.random() < 0.12 else ["a"]
        shape = self._input_shape()
        for name in names:
            in_pixels = len(shape) == 3 and self._rng.random() < 0.5
            self._input(name, shape, in_pixels)
        if len(names) == 2:
            self._program.define(f"kl.Concatenate()([{', '.join(self._program.tensors[-2:])}])")
        return names

    def _input_shape(self) -> tuple[int, ...]:
        if self._rng.random() < 0.1:
            return self._rng.choice([(6,), (9,), (7, 3)])
        sizes = (5, 7, 8, 9, 12)
        return (*self._rng.choices(sizes, k=2), self._rng.choice((3, 3, 1, 2)))

    def _input(self, name: str, shape: tuple[int, ...], in_pixels: bool) -> None:
        seed = self._rng.randrange(1000)
        data, values = f"data_{name}", f"pixels({shape}, {seed})"
        if not in_pixels:
            values = f"({values} - 128) / 127.5"
        self._program.run(f"{data} = {values}", f"{name} = keras.Input({shape}, name={name!r})")
        self._program.tensors.append(name)
        if in_pixels:
            head = self._rng.choice(_PIXEL_HEADS).format(x=name, c=shape[-1], data=data)
            self._program.define(head)
            self._program.tensors.remove(name)

    def _some_line(self) -> None:
        """Write a line that Keras takes."""
        for _ in range(_TRIES):
            line = self._rng.choices(
                (self._call, self._shared_again, self._nested), weights=(20, 3, 1)
            )[0]
            try:
                return line()
            except Exception:  # Keras and TensorFlow refuse with errors of all kinds
                continue
        raise UnbuildableError("nothing fits")

    def _call(self) -> None:
        kind, x = self._kind_and_tensor(self._program.tensors)
        others = {place: self._other(x) for place in "yz" if f"{{{place}}}" in kind.template}
        expression = fill(kind, self._arguments(kind), self._program.shape(x), x=x, **others)
        if not kind.can_be_shared or self._rng.random() < 0.8:
            return self._program.define(expression)
        layer = f"shared_{len(self._program.lines)}"
        made = expression.removesuffix(f"({x})")
        self._program.define(f"{layer}({x})", f"{layer} = {made}")
        self._shared.append(layer)
        return None

    def _kind_and_tensor(self, tensors: list[str]) -> tuple[Kind, str]:
        latest = self._rng.random() < 0.7
        x = tensors[-1] if latest else self._rng.choice(tensors)
        axes = len(self._program.shape(x)) + 1
        kinds = [kind for kind in KINDS if axes in kind.axes and (self._odd or not kind.odd)]
        return self._rng.choices(kinds, weights=[kind.often for kind in kinds])[0], x

    def _arguments(self, kind: Kind) -> list[str]:
        texts = [self._rng.choice(values) for values in kind.given]
        if kind.rare and self._odd and self._rng.random() < 0.2:
            return [*texts, self._rng.choice(kind.rare)]
        by_name: dict[str, list[str]] = {}
        for text in kind.options:
            by_name.setdefault(text.split("=", 1)[0], []).append(text)
        count = min(len(by_name), self._rng.choice((0, 1, 1, 2, 3)))
        return texts + [
            self._rng.choice(by_name[name]) for name in self._rng.sample(sorted(by_name), count)
        ]

    def _other(self, x: str) -> str:
        """Return another tensor of the shape of ``x``, or how to make one."""
        shape = self._program.shape(x)
        same = [name for name in self._program.tensors if self._program.shape(name) == shape]
        if len(same) > 1 and self._rng.random() < 0.6:
            return self._rng.choice([name for name in same if name != x])
        layer = "kl.Conv2D({}, 1{})({})" if len(shape) == 3 else "kl.Dense({}{})({})"
        activation = self._rng.choice(("", "", ", activation='relu'", ", activation='sigmoid'"))
        return layer.format(shape[-1], activation, x)

    def _shared_again(self) -> None:
        self._program.define(
            f"{self._rng.choice(self._shared)}({self._rng.choice(self._program.tensors)})"
        )

    def _nested(self) -> None:
        """Write a model of two or three layers and call it."""
        x = self._rng.choice(self._program.tensors)
        number = len(self._program.lines)
        inner = _Program([], dict(self._program.scope), [])
        inner.lines = [""] * number  # tensors are numbered on
        inner.run(f"inner_{number} = keras.Input({self._program.shape(x)})")
        inner.tensors.append(f"inner_{number}")
        outer, self._program = self._program, inner
        try:
            for _ in range(self._rng.randint(2, 3)):
                self._call()
        finally:
            self._program = outer
        model = f"model_{number}"
        outputs = inner.tensors[-1] if self._rng.random() < 0.7 else inner.tensors[-2:]
        inner.run(f"{model} = keras.Model(inner_{number}, {outputs})".replace("'", ""))
        outer.scope.update(inner.scope)
        outer.define(f"{model}({x})", *inner.lines[number:])
        self._shared.append(model)

    def _sequential(self) -> None:
        """Write a Sequential model: the calls of a chain are its layers."""
        shape = self._input_shape()
        self._input("a", shape, in_pixels=False)
        layers = [f"keras.Input({shape})"]
        for _ in range(self._rng.randint(4, 2 * _TRIES)):
            kind, x = self._kind_and_tensor(self._program.tensors[-1:])
            call = fill(kind, self._arguments(kind), self._program.shape(x), x=x, y=x, z=x)
            if kind.can_be_shared and len(layers) < 8:
                with contextlib.suppress(Exception):  # as in _some_line
                    self._program.define(call)
                    layers.append(call.removesuffix(f"({x})"))
        del self._program.lines[1:]  # all but the data
        listed = "".join(f"    {layer},\n" for layer in layers)
        self._program.run(f"model = keras.Sequential([\n{listed}])", "x = data_a")

    def _model(self, inputs: list[str]) -> None:
        """Write the model; its outputs are tensors that nothing reads."""
        source, data = self._program.source, [f"data_{name}" for name in inputs]
        outputs = [
            name
            for name in self._program.tensors
            if name not in inputs and len(re.findall(rf"\b{name}\b", source)) == 1
        ][-3:] or self._program.tensors[-1:]
        if len(inputs) == 1 and self._rng.random() < 0.7:
            ends, x = inputs[0], data[0]
        elif self._rng.random() < 0.5:
            ends, x = _mapping(inputs, inputs), _mapping(inputs, data)
        else:
            ends, x = f"[{', '.join(inputs)}]", f"[{', '.join(data)}]"
        answers = outputs[0] if len(outputs) == 1 else f"[{', '.join(outputs)}]"
        if self._rng.random() < 0.3:
            answers = _mapping([f"out_{name}" for name in outputs], outputs)
        self._program.run(f"model = keras.Model({ends}, {answers})", f"x = {x}")


def _mapping(keys: list[str], values: list[str]) -> str:
    return "{" + ", ".join(f"{k!r}: {v}" for k, v in zip(keys, values, strict=True)) + "}"
