"""Outputs of one picture as the model gives them, and what their integers mean."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from quantdet.runtime.contract import Contract, TensorSpec

Floats = NDArray[np.float32]
Outputs = Mapping[str, NDArray[np.number]]
"""Part of the contract ("boxes", "scores"; "classes", "count" where there are) → array.

Integer arrays are raw and mean what the contract says; float arrays are real values, be they
from a float file or from Keras.
"""


def dequantize(values: NDArray[np.number], spec: TensorSpec) -> Floats:
    """Return ``(q - zero_point) * scale`` of integers; floats are real already."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32)
    steps = values.astype(np.int32) - spec.zero_point
    return (steps.astype(np.float32) * np.float32(spec.scale)).astype(np.float32)


def output_specs(contract: Contract) -> dict[str, TensorSpec]:
    """Return the part → tensor of every output that the contract names."""
    parts = {
        "boxes": contract.boxes,
        "scores": contract.scores,
        "classes": contract.classes,
        "count": contract.count,
    }
    return {part: spec for part, spec in parts.items() if spec is not None}
