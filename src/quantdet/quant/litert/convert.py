"""Call LiteRT's converter on a Python function of TensorFlow calls."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from quantdet.errors import DependencyError, ExportError
from quantdet.quant.graph import Graph
from quantdet.quant.tensors import Tensor
from quantdet.system.quiet import only_warnings, quiet_stderr

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from tensorflow.lite import TFLiteConverter

Configure = Callable[["TFLiteConverter"], None]


def tensorflow() -> ModuleType:
    """Import TensorFlow.

    Raises:
        DependencyError: not installed.
    """
    try:
        import tensorflow as tf
    except ImportError:
        raise DependencyError('export needs TensorFlow: pip install "quantdet[train]"') from None
    module: ModuleType = tf
    return module


def convert(
    function: Callable[..., dict[str, Tensor]], graph: Graph, configure: Configure
) -> bytes:
    """Return the .tflite of ``function``.

    Args:
        function: takes the inputs of ``graph`` with batch 1, returns name → tensor.
        graph: gives input names and shapes.
        configure: sets the options of the ``TFLiteConverter`` before it runs.

    Raises:
        ExportError: the converter refuses; what it says first.
    """
    tf = tensorflow()
    specs = [
        tf.TensorSpec((1, *template.shape[1:]), tf.float32, name=input_name(template))
        for template in graph.input_templates
    ]
    module = tf.Module()
    module.serve = tf.function(function, input_signature=specs, autograph=False)
    with tempfile.TemporaryDirectory() as folder, quiet_stderr(), only_warnings("tensorflow"):
        _save(module, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        configure(converter)
        return _converted(converter)


def _save(module: tf.Module, folder: str) -> None:
    tf = tensorflow()
    try:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
    except tf.errors.OpError as error:  # TensorFlow's own class where the disk is full
        reason = re.sub(r" \[Op:\w+\]$", "", error.message.rsplit("; ", 1)[-1])
        raise ExportError(
            f"{folder}: TensorFlow cannot write the model there for its converter: {reason}; free "
            "space, or name a folder on another disk in the environment variable TMPDIR"
        ) from None


def _converted(converter: TFLiteConverter) -> bytes:
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        content: bytes = converter.convert()
    except ConverterError as error:
        first = next((line for line in str(error).splitlines() if "error:" in line), str(error))
        raise ExportError(
            f"LiteRT's converter has no integer kernel for {_place(first)} with this recipe: "
            f"{first.rsplit('error:', 1)[-1].strip()}"
        ) from None
    return content


def layer_scope(name: str) -> str:
    """Return the scope of a layer's operations: its name in letters that TensorFlow allows."""
    return re.sub(r"[^A-Za-z0-9_.-]|^[_-]", ".", name)


def _place(message: str) -> str:
    """Return the layer that a location of the converter names ("…/conv2d/Conv2D@…")."""
    found = re.search(r'"(?:[\w.]+/)*?([\w.]+)/\w+@', message)
    return f"layer {found[1]!r}" if found else "a layer"


def input_name(template: keras.KerasTensor) -> str:
    """Return the name of a Keras input as the signature has it."""
    return str(template.name).split(":", maxsplit=1)[0]


def output_names(graph: Graph) -> dict[str, int]:
    """Return output name → tensor id: dict keys, otherwise ``output_0``, ``output_1`` and so on."""
    if isinstance(graph.outputs, dict):
        return dict(graph.outputs)
    return {f"output_{i}": tensor for i, tensor in enumerate(graph.output_ids)}
