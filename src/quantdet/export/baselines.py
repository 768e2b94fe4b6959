"""The files to compare with: float32, float16, and the converter's own post-training int8."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantdet.quant.fold import simplify
from quantdet.quant.graph import Graph, Node
from quantdet.quant.litert.check_integer import check_integer
from quantdet.quant.litert.convert import Configure, convert, output_names, tensorflow
from quantdet.quant.litert.editable import EditableFile
from quantdet.quant.litert.tensorflow_process import on_tensorflow
from quantdet.quant.reader import read_graph
from quantdet.quant.tensors import Tensor
from quantdet.system.atomic import write_bytes

if TYPE_CHECKING:
    import keras
    from tensorflow.lite import TFLiteConverter


def export_float(model: keras.Model, path: Path | str, *, half: bool = False) -> Path:
    """Write a float Keras model as .tflite, weights float32 or (``half``) float16.

    On a backend other than TensorFlow, a TensorFlow process exports the saved model.
    """
    return _write(on_tensorflow(_float_content, model, half), path)


def export_ptq(
    model: keras.Model,
    path: Path | str,
    calibration: NDArray[np.float32],
    *,
    io_dtype: str = "uint8",
) -> Path:
    """Write the converter's full-integer post-training quantization of a float model.

    On a backend other than TensorFlow, a TensorFlow process exports the saved model.

    Args:
        model: float functional model.
        path: file to write.
        calibration: (N, H, W, C) inputs as the model takes them: the representative set.
        io_dtype: "uint8" or "int8".

    Raises:
        ExportError: the converter left something float.
    """
    content = on_tensorflow(_ptq_content, model, calibration, io_dtype)
    check_integer(content, io_dtype)
    return _write(content, path)


def _float_content(model: keras.Model, half: bool) -> bytes:
    def configure(converter: TFLiteConverter) -> None:
        tf = tensorflow()
        if half:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]

    return _convert(model, configure)


def _ptq_content(model: keras.Model, calibration: NDArray[np.float32], io_dtype: str) -> bytes:
    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for picture in calibration:
            yield [picture[None].astype(np.float32)]

    def configure(converter: TFLiteConverter) -> None:
        tf = tensorflow()
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.as_dtype(io_dtype)
        converter.inference_output_type = tf.as_dtype(io_dtype)
        # TFLite-Micro has no dense kernel with one scale per channel.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True

    return _convert(model, configure)


def _convert(model: keras.Model, configure: Configure) -> bytes:
    # BatchNorm and input normalization are folded as in the integer model: same operators.
    graph: Graph = simplify(read_graph(model))
    # Variables would have to be tracked by the exported module; constants need nothing.
    weights = {id(node.layer): _constants(node.layer) for node in graph.nodes}

    def apply(node: Node, arguments: list[Tensor]) -> Tensor:
        inputs = arguments[0] if len(arguments) == 1 else arguments
        return node.layer.stateless_call(*weights[id(node.layer)], inputs)[0]

    def function(*inputs: Tensor) -> dict[str, Tensor]:
        known = graph.run(inputs, apply)
        return {name: known[tensor] for name, tensor in output_names(graph).items()}

    # The converter lists operators that are no longer there.
    return EditableFile(convert(function, graph, configure)).content()


def _constants(layer: keras.Layer) -> tuple[list[NDArray[np.number]], list[NDArray[np.number]]]:
    return (
        [np.array(variable) for variable in layer.trainable_variables],
        [np.array(variable) for variable in layer.non_trainable_variables],
    )


def _write(content: bytes, path: Path | str) -> Path:
    path = Path(path)
    write_bytes(path, content)
    return path
