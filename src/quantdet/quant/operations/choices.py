"""Comparisons, logic and choices, as arithmetic on truth values of 0 and 1.

LiteRT has integer kernels for them, but its converter writes none between fake quantizations. A
comparison is a table of one value here; what it chooses is multiplied by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.quant.operations.elementwise import multiply, plus, subtract
from quantdet.quant.operations.operands import UnsupportedError, is_tensor, numbers
from quantdet.quant.primitives import Unary
from quantdet.quant.tensors import Tensor


def greater(op: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return 1 where a > b, otherwise 0."""
    return _compared(op, a, b, ("greater", "less"))


def greater_equal(op: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return 1 where a >= b, otherwise 0."""
    return _compared(op, a, b, ("greater_equal", "less_equal"))


def less(op: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return 1 where a < b, otherwise 0."""
    return _compared(op, a, b, ("less", "greater"))


def less_equal(op: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return 1 where a <= b, otherwise 0."""
    return _compared(op, a, b, ("less_equal", "greater_equal"))


def equal(op: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return 1 where the difference is nearer to 0 than to a step of its grid, otherwise 0."""
    return Unary("is_zero")(subtract(op, a, b))


def not_equal(op: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return 1 where ``equal`` is 0."""
    return logical_not(op, equal(op, a, b))


def _compared(op: keras.Operation, a: Tensor, b: Tensor, functions: tuple[str, str]) -> Tensor:
    """Return the first function of a and a number b, or the second, its mirror, of b and a.

    Two computed tensors, and a tensor and an array, are compared by their difference.
    """
    for x, other, function in ((a, b, functions[0]), (b, a, functions[1])):
        if is_tensor(x) and not is_tensor(other) and numbers(other).size == 1:
            return Unary(function, float(numbers(other).reshape(())))(x)
    return Unary(functions[0], 0.0)(subtract(op, a, b))


def logical_not(_: keras.Operation, truth: Tensor) -> Tensor:
    """Return 1 - truth."""
    return Unary("logical_not")(truth)


def logical_or(_: keras.Operation, a: Tensor, b: Tensor) -> Tensor:
    """Return the larger truth value."""
    return keras.layers.Maximum()([a, b])


def check_truths(key: str, dtypes: Sequence[str | None]) -> None:
    """Refuse operations on truth values that are given numbers, and sums of truth values.

    Args:
        key: of ``OPERATIONS``.
        dtypes: of the arguments; None for constants.

    Raises:
        UnsupportedError: Keras takes numbers for true where they are not 0; a product would not.
    """
    taken = {"numpy.Where": dtypes[:1]}.get(key, dtypes if key in _LOGIC else ())
    if any(dtype not in ("bool", None) for dtype in taken):
        raise UnsupportedError("uses numbers as booleans; compare them: x != 0")
    if key == "numpy.Add" and set(dtypes) == {"bool"}:
        raise UnsupportedError("adds booleans; use logical_or, or cast them to float32")


def where(op: keras.Operation, truth: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return truth * x + (1 - truth) * y, without the term of a constant 0."""
    if not is_tensor(truth):
        return _masked(op, numbers(truth) != 0, (x, y))
    if _is_zero(y):
        return multiply(op, truth, x)
    rest = multiply(op, logical_not(op, truth), y)
    return rest if _is_zero(x) else plus(multiply(op, truth, x), rest)


def _masked(op: keras.Operation, mask: NDArray[np.bool_], values: tuple[Tensor, Tensor]) -> Tensor:
    """Return the first value where a constant mask is true, otherwise the second."""
    terms = [
        multiply(op, value, part) if is_tensor(value) else numbers(value) * part
        for value, part in zip(values, (mask, ~mask), strict=True)
        if not _is_zero(value)
    ]
    return terms[0] if len(terms) == 1 else plus(*terms)


def _is_zero(value: Tensor) -> bool:
    return not is_tensor(value) and not numbers(value).any()


_LOGIC = ("numpy.LogicalNot", "numpy.LogicalAnd", "numpy.LogicalOr")
CHOICES: dict[str, Callable[..., Tensor]] = {
    "numpy.Greater": greater,
    "numpy.GreaterEqual": greater_equal,
    "numpy.Less": less,
    "numpy.LessEqual": less_equal,
    "numpy.Equal": equal,
    "numpy.NotEqual": not_equal,
    "numpy.LogicalNot": logical_not,
    "numpy.LogicalAnd": multiply,
    "numpy.LogicalOr": logical_or,
    "numpy.Where": where,
}
