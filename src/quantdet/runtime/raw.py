"""Outputs of one picture as the model gives them, and what their integers mean."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError
from quantdet.runtime.contract import Contract, TensorSpec

Floats = NDArray[np.float32]
Outputs = Mapping[str, NDArray[np.number]]
"""Part of the contract ("boxes", "scores"; "classes", "count" where there are) → array.

Integer arrays are raw and mean what the contract says; float arrays are real values, be they
from a float file or from Keras.
"""

# A sigmoid or softmax in float32 may end a little above 1.
_FLOAT_SLACK = 1e-3


def dequantize(values: NDArray[np.number], spec: TensorSpec) -> Floats:
    """Return ``(q - zero_point) * scale`` of integers; floats are real already."""
    if np.issubdtype(values.dtype, np.floating):
        return values.astype(np.float32)
    steps = values.astype(np.int32) - spec.zero_point
    return (steps.astype(np.float32) * np.float32(spec.scale)).astype(np.float32)


def probabilities(values: NDArray[np.number], spec: TensorSpec) -> Floats:
    """Return :func:`dequantize` of values that are scores already, at most 1.

    Raises:
        ModelError: one is more than a step above 1: another output was taken for the scores.
    """
    real = dequantize(values, spec)
    highest = float(np.fmax.reduce(real, axis=None, initial=0.0))
    if highest > 1 + max(spec.scale, _FLOAT_SLACK):
        raise ModelError(
            f"contract: output {spec.name!r} answers {highest:.4g}, which is no score from 0 to 1; "
            "its tensors are mixed up: `quantdet describe` finds them"
        )
    return np.minimum(real, np.float32(1))


def output_specs(contract: Contract) -> dict[str, TensorSpec]:
    """Return the part → tensor of every output that the contract names."""
    parts = {
        "boxes": contract.boxes,
        "scores": contract.scores,
        "classes": contract.classes,
        "count": contract.count,
    }
    return {part: spec for part, spec in parts.items() if spec is not None}
