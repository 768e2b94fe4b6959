"""Take a layer apart: the operations of its ``call``, as layers that have an integer form.

The call runs on symbolic tensors, and what it uses is replaced by layers (operations/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import keras

from quantdet.errors import QuantizationError
from quantdet.quant.activations import function_kind, keras_function
from quantdet.quant.equivalents import EQUIVALENTS
from quantdet.quant.graph import clone_layer
from quantdet.quant.operations import (
    LAYERS,
    OPERATIONS,
    UnsupportedError,
    check_truths,
    operation_name,
)
from quantdet.quant.operations.operands import is_tensor
from quantdet.quant.primitives import Unary
from quantdet.quant.rules import describe
from quantdet.quant.tensors import Shape, Tensor

if TYPE_CHECKING:
    from keras.src.ops.node import Node as Call

_ACTIVATED = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
)
# Python's, where a variable may stand on the left of a symbolic tensor.
_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
_COMPARISONS = ("lt", "le", "gt", "ge")
_Method = Callable[[keras.Variable, Tensor], Tensor]


def take_apart(call: Call, shapes: Sequence[Shape]) -> keras.Model:
    """Return a functional model of known layers that computes what a call computes.

    Args:
        call: Keras' node: an operation and its arguments.
        shapes: of its tensor arguments.

    Raises:
        QuantizationError: it uses something that has no integer form; names operation and reason.
    """
    try:
        return _called_on(call, shapes)
    except QuantizationError:
        if not isinstance(call.operation, keras.layers.Layer):
            raise
        # Some layers count the pictures of a batch, to repeat a constant for each.
        one = [(1, *shape[1:]) for shape in shapes]
        with suppress(QuantizationError):
            return _called_on(call, one)
        raise


def has_own_activation(layer: keras.Layer) -> bool:
    """Tell layers whose activation becomes a layer of its own."""
    return type(layer) in _ACTIVATED and function_kind(layer.activation) != "linear"


def _called_on(call: Call, shapes: Sequence[Shape]) -> keras.Model:
    operation = call.operation
    inputs = {
        id(symbol): keras.Input(batch_shape=shape, dtype=_number_type(symbol.dtype))
        for symbol, shape in zip(given_tensors(call), shapes, strict=True)
    }
    args, kwargs = call.arguments.fill_in(inputs)
    with _refusals_named(operation), _nodes_forgotten(operation):
        check_truths(
            operation_name(operation) or "",
            [symbol.dtype if is_tensor(symbol) else None for symbol in call.arguments.args],
        )
        outputs = _apply(operation, args, kwargs)
        for output in keras.tree.flatten(outputs):
            if not isinstance(output, keras.KerasTensor):
                raise UnsupportedError("gives a result that does not depend on its input")
        return keras.Model(list(inputs.values()), outputs)


def _number_type(dtype: str) -> str:
    """Return the type of a tensor in the rewritten net: truth values are 0 and 1 there."""
    return "float32" if dtype == "bool" else dtype


def given_tensors(call: Call) -> list[keras.KerasTensor]:
    """Return the tensors that a call is given, each once."""
    return list({id(symbol): symbol for symbol in call.arguments.keras_tensors}.values())


def _apply(operation: keras.Operation, args: Sequence[Tensor], kwargs: dict[str, Tensor]) -> Tensor:
    key = operation_name(operation)
    if key is not None:
        if key not in OPERATIONS:
            raise UnsupportedError(
                "has no integer form; write it with other operations, or compute it behind the file"
            )
        return OPERATIONS[key](operation, *args, **kwargs)
    if type(operation) in EQUIVALENTS:
        (tensor,) = keras.tree.flatten(args)
        return EQUIVALENTS[type(operation)](operation, tuple(tensor.shape))(tensor)
    if has_own_activation(operation):
        return _split_activation(operation, *args)
    if type(operation) in LAYERS:
        return LAYERS[type(operation)](operation, *args, **_without_training(kwargs))
    if type(operation) is keras.layers.Activation:
        return _activation(operation, *args)
    return _trace(operation, args, kwargs)


def _split_activation(layer: keras.Layer, x: Tensor) -> Tensor:
    linear = clone_layer(layer, activation="linear")
    activation = keras.layers.Activation(layer.activation, name=f"{layer.name}_activation")
    return activation(linear(x))


def _activation(layer: keras.Layer, x: Tensor) -> Tensor:
    function = keras_function(layer.activation)
    # Keras' mish does not run on symbolic tensors.
    return Unary("mish")(x) if function is keras.activations.mish else function(x)


def _trace(operation: keras.Operation, args: Sequence[Tensor], kwargs: dict[str, Tensor]) -> Tensor:
    """Run the call of a layer on symbolic tensors."""
    options = _without_training(kwargs)
    if getattr(operation, "_call_has_training_arg", False):
        options["training"] = False
    with _variables_beside_symbols():
        return operation.call(*args, **options)


@contextmanager
def _variables_beside_symbols() -> Iterator[None]:
    """Let ``variable * symbol`` mean what ``symbol * variable`` does.

    A Keras variable computes with numbers at once, and fails with a symbolic tensor. If it
    declines instead, Python asks the symbolic tensor.
    """
    (kind,) = (kind for kind in keras.Variable.__mro__ if "__matmul__" in vars(kind))
    names = [f"__{name}__" for name in (*_ARITHMETIC, *_COMPARISONS)]
    methods = {name: vars(kind)[name] for name in names}
    try:
        for name, method in methods.items():
            setattr(kind, name, _declining_symbols(method))
        yield
    finally:
        for name, method in methods.items():
            setattr(kind, name, method)


def _declining_symbols(method: _Method) -> _Method:
    def compute(variable: keras.Variable, other: Tensor) -> Tensor:
        return NotImplemented if is_tensor(other) else method(variable, other)

    return compute


def _without_training(options: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in options.items() if name != "training"}


@contextmanager
def _nodes_forgotten(operation: keras.Operation) -> Iterator[None]:
    """Let the layers inside forget that they were called: the given model is not changed."""
    inner = operation._flatten_layers() if isinstance(operation, keras.layers.Layer) else []
    counts = [(layer, len(layer._inbound_nodes)) for layer in inner]
    try:
        yield
    finally:
        for layer, count in counts:
            del layer._inbound_nodes[count:]


@contextmanager
def _refusals_named(operation: keras.Operation) -> Iterator[None]:
    try:
        yield
    except UnsupportedError as error:
        raise QuantizationError(f"{describe(operation)} {error}") from None
    except QuantizationError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise QuantizationError(
            f"{describe(operation)} cannot be decomposed: {reason[0] if reason else error!r}; "
            "write its call with keras.ops and Keras layers, or register it: "
            "quantdet.quant.EQUIVALENTS "
            '(docs/quantization.md, "Custom layers")'
        ) from None
