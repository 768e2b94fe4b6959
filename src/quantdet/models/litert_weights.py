"""Read the weights of an SSD MobileNetV2 out of a .tflite, float or integer.

The file is taken apart by its structure, not by tensor names: convolutions that end in a
reshape are the predictors, in the order in which the two concatenations list them, with the
depthwise ones before them; all others are the trunk, in the order of execution.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError
from quantdet.runtime.flatbuffer import verify_model

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema

Arrays = dict[str, NDArray[np.number]]
_BOX_VALUES = 4


class _File:
    """One parsed .tflite; constants come as float32, those of integers multiplied out."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        verify_model(path)
        self._model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        self._graph = self._model.subgraphs[0]
        codes = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        self._types = {
            schema.TensorType.FLOAT16: "<f2",
            schema.TensorType.FLOAT32: "<f4",
            schema.TensorType.INT8: "<i1",
            schema.TensorType.INT32: "<i4",
        }
        self.operators = [
            (codes[self._code(op)], [int(i) for i in op.inputs], [int(i) for i in op.outputs])
            for op in self._graph.operators
        ]
        self.producers = {outs[0]: (name, ins) for name, ins, outs in self.operators}

    def _code(self, op: schema.OperatorT) -> int:
        code = self._model.operatorCodes[op.opcodeIndex]
        return int(max(code.builtinCode, code.deprecatedBuiltinCode))

    def constant(self, index: int) -> NDArray[np.float32]:
        if self.producers.get(index, ("", []))[0] == "DEQUANTIZE":
            index = self.producers[index][1][0]
        tensor = self._graph.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        if data is None or tensor.type not in self._types:
            raise ModelError("a convolution's weights are no float, int8 or int32 constants")
        values = np.frombuffer(bytes(data), self._types[tensor.type])
        values = values.reshape([int(n) for n in tensor.shape])
        if values.dtype.kind == "f":
            return values.astype(np.float32)
        # Weights and biases are symmetric: no zero point (LiteRT quantization specification).
        scale = np.asarray(tensor.quantization.scale, np.float32)
        axis = [1] * values.ndim
        dimension = int(tensor.quantization.quantizedDimension)
        if scale.size not in (1, values.shape[dimension]):
            raise ModelError(f"{scale.size} scales for {values.shape[dimension]} channels")
        axis[dimension] = -1
        return values.astype(np.float32) * scale.reshape(axis)

    def last_axis(self, index: int) -> int:
        return int(self._graph.tensors[index].shape[-1])

    def picture_side(self) -> int:
        return int(self._graph.tensors[self._graph.inputs[0]].shape[1])


def read_ssd_weights(path: Path, trunk: list[str]) -> tuple[Arrays, int]:
    """Return folded weights by layer name, and the number of class rows.

    Args:
        path: a .tflite with raw box and class outputs.
        trunk: names of the convolutions of our model but for those of predictors, in order.

    Returns:
        ("layer/kernel" and "layer/bias" → values in Keras layout, width of the class rows).

    Raises:
        ModelError: not such a file; the message names it.
    """
    try:
        file = _File(path)
        owners = {output: name for name, output in _predictors(file)}
        arrays: Arrays = {}
        names = iter(trunk)
        for kind, inputs, outputs in file.operators:
            if kind not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                continue
            name = owners.get(outputs[0]) or next(names)
            # Files store kernels as OHWI, and depthwise kernels as 1HWC; Keras HWIO and HWC1.
            arrays[f"{name}/kernel"] = file.constant(inputs[1]).transpose(1, 2, 3, 0)
            arrays[f"{name}/bias"] = file.constant(inputs[2])
        if next(names, None) is not None:
            raise ModelError("has fewer convolutions than the layout")
        return arrays, _class_width(file)
    except StopIteration:
        raise ModelError(f"{path}: has more convolutions than the layout") from None
    except Exception as error:  # whatever another graph leads to
        raise ModelError(
            f"{path}: not an SSD MobileNetV2 with raw outputs ({error}); give the file of "
            "the TF Object Detection API, a quantdet run, or a backbone's weight file"
        ) from None


def read_picture_side(path: Path) -> int:
    """Return the height in pixels of the pictures that a .tflite takes."""
    return _File(path).picture_side()


def _predictors(file: _File) -> Iterator[tuple[str, int]]:
    """Yield the name and the output tensor of each convolution of a predictor."""
    for kind, tensors in zip(("box", "class"), _concatenated(file), strict=True):
        for number, tensor in enumerate(tensors, start=1):
            output = _convolution(file, tensor)
            yield f"{kind}_{number}", output
            features = file.producers[output][1][0]
            if file.producers[features][0] == "DEPTHWISE_CONV_2D":
                yield f"{kind}_{number}_depthwise", features


def _concatenated(file: _File) -> tuple[list[int], list[int]]:
    found = {
        file.last_axis(outs[0]) == _BOX_VALUES: ins
        for name, ins, outs in file.operators
        if name == "CONCATENATION"
    }
    return found[True], found[False]


def _convolution(file: _File, tensor: int) -> int:
    for _ in file.operators:  # a damaged file may have a circle
        if file.producers[tensor][0] != "RESHAPE":
            return tensor
        tensor = file.producers[tensor][1][0]
    raise ModelError("reshapes go in a circle")


def _class_width(file: _File) -> int:
    return file.last_axis(_concatenated(file)[1][0])
