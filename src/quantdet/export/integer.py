"""Fake-quantized Keras model in, full-integer .tflite out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantdet.quant.litert.writer import integer_content
from quantdet.system.atomic import write_bytes

if TYPE_CHECKING:
    import keras


def export_integer(model: keras.Model, path: Path | str, *, io_dtype: str | None = None) -> Path:
    """Write a model made by ``prepare_qat`` as a full-integer .tflite.

    Args:
        model: fake-quantized model, calibrated, trained or not; it is not changed.
        path: file to write, in one step.
        io_dtype: "uint8" (default) or "int8", type of all inputs and outputs; a model with 16 bit
            activations has "int16".

    Returns:
        ``path``. The signature ``serving_default`` names inputs and outputs as the Keras model
        does (dict keys; otherwise ``output_0``, ``output_1``, …).

    On a backend other than TensorFlow, a TensorFlow process exports the saved model.

    Raises:
        QuantizationError: the model, or a layer of it, is not prepared.
        ExportError: the converter left a float op or tensor, or changed a scale; or the model
            has no such ``io_dtype``.
        DependencyError: TensorFlow is not installed.
    """
    path = Path(path)
    content = integer_content(model, io_dtype)
    write_bytes(path, content)
    return path
