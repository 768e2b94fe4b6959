"""What each operation of ``keras.ops`` is made of: layers that have an integer operator.

A function takes the operation and the arguments it was called with, computed tensors as symbolic
Keras tensors, and calls layers on them. To add an operation, write one and enter it in its file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantdet.quant.operations.elementwise import ELEMENTWISE
from quantdet.quant.operations.normalization import NORMALIZATIONS
from quantdet.quant.operations.operands import UnsupportedError
from quantdet.quant.operations.products import PRODUCTS
from quantdet.quant.operations.reductions import REDUCTIONS
from quantdet.quant.operations.shapes import SHAPES
from quantdet.quant.operations.spatial import SPATIAL

__all__ = ["OPERATIONS", "UnsupportedError", "operation_name"]

OPERATIONS: dict[str, Callable[..., Any]] = {
    **ELEMENTWISE,
    **SHAPES,
    **REDUCTIONS,
    **SPATIAL,
    **PRODUCTS,
    **NORMALIZATIONS,
}
"""``module.Class`` below ``keras.src.ops`` → function. Modules tell Keras' own from look-alikes."""

_KERAS_OPERATIONS = "keras.src.ops."


def operation_name(operation: Any) -> str | None:
    """Return the key of ``OPERATIONS`` for a bare Keras operation; None for anything else."""
    kind = type(operation)
    if not kind.__module__.startswith(_KERAS_OPERATIONS):
        return None
    return f"{kind.__module__.removeprefix(_KERAS_OPERATIONS)}.{kind.__qualname__}"
