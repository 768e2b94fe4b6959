"""What Keras computes with, by name."""

from __future__ import annotations

from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the backend, a symbolic ``keras.KerasTensor``, a variable, or what Keras takes for
one (an array, a number). Three backends, chosen at run time, have no type in common, and Keras
ships no stubs: type checkers see Any."""
Structure: TypeAlias = Any
"""One of something, or several nested in dicts, lists and tuples, as ``keras.tree`` takes them."""
Shape: TypeAlias = tuple[int | None, ...]
"""Axes of a tensor; None has any length."""
