"""Format "postprocess": the detector with decoding and suppression inside the file.

Behind the raw outputs come a sigmoid and the operator TFLite_Detection_PostProcess, which LiteRT,
TFLite-Micro and MediaPipe know. It computes in float on the CPU; what is before it is unchanged.
Each anchor counts only for its best class, and boxes of different classes suppress each other: less
accurate where objects overlap (docs/deploy.md).
Source of its inputs, options and outputs: ``tensorflow/lite/kernels/detection_postprocess.cc``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ExportError
from quantdet.export.metadata import final_contract, with_metadata
from quantdet.export.source import ModelSource
from quantdet.quant.litert.editable import EditableFile
from quantdet.runtime.contract import Contract, TensorSpec
from quantdet.runtime.decode_ssd import contract_anchors

if TYPE_CHECKING:
    from ai_edge_litert import schema_py_generated as schema

_OPERATOR = "TFLite_Detection_PostProcess"


def post_process(source: ModelSource) -> dict[str, bytes]:
    """Return NAME-postprocess.tflite with its contract.

    Scores and boxes are dequantized before the operator: with quantized inputs it wants quantized
    anchors too, whose steps would be 1/255 of the picture.

    Raises:
        ExportError: the model has no anchors, or options that the operator does not have.
    """
    _check(source)
    file = EditableFile(source.content)
    contract = _contract(source.contract)
    _append(file, source)
    content = with_metadata(file.content(), contract)
    name = f"{source.name}-postprocess"
    final = final_contract(contract, content)
    return {
        f"{name}.tflite": content,
        f"{name}.contract.json": (final.model_dump_json(indent=2) + "\n").encode(),
    }


def _check(source: ModelSource) -> None:
    decoder = source.contract.decoder
    if decoder.kind != "ssd":
        raise ExportError(
            f"{source.name}: format postprocess is for detectors with anchors (decoder 'ssd'), "
            f"this one has decoder {decoder.kind!r}; use the file as it is"
        )
    if source.contract.background_index not in (None, 0):
        raise ExportError(
            f"{source.name}: background is column {source.contract.background_index} of the "
            "scores, the operator supports it only as the first; fix the model"
        )
    if decoder.nms_iou == 0:
        raise ExportError(
            f"{source.name}: decoder.nms_iou is 0, the operator needs more; set predict.nms_iou"
        )


def _contract(contract: Contract) -> Contract:
    """Return the contract of the new file."""
    named = bool(contract.signature)
    specs = {
        part: TensorSpec(name=part if named else _tensor_name(part), shape=shape, dtype="float32")
        for part, shape in _shapes(contract).items()
    }
    decoder = contract.decoder.model_copy(update={"kind": "post_processed", "anchors": ()})
    return contract.model_copy(update={**specs, "decoder": decoder, "background_index": None})


def _shapes(contract: Contract) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output, in the order of the operator."""
    most = contract.decoder.max_detections
    return {"boxes": (1, most, 4), "classes": (1, most), "scores": (1, most), "count": (1,)}


def _tensor_name(part: str) -> str:
    """Return the name that files with this operator use."""
    number = {"boxes": "", "classes": ":1", "scores": ":2", "count": ":3"}
    return _OPERATOR + number[part]


def _append(file: EditableFile, source: ModelSource) -> None:
    """Put the new operators behind the outputs of a file."""
    graph = _Tail(file)
    outputs = dict(zip(source.output_parts, file.graph.outputs, strict=True))
    boxes = graph.dequantized(int(outputs["boxes"]))
    logits = graph.dequantized(int(outputs["scores"]))
    scores = graph.tensor("scores/sigmoid", graph.shape(logits))
    graph.operator("LOGISTIC", [logits], [scores])
    anchors = contract_anchors(source.contract.decoder.anchors)
    results = {
        part: graph.tensor(_tensor_name(part), shape)
        for part, shape in _shapes(source.contract).items()
    }
    graph.custom(
        [boxes, scores, graph.tensor("anchors", anchors.shape, anchors)],
        list(results.values()),
        _options(source.contract),
    )
    graph.set_outputs(results, source.contract.signature)


def _options(contract: Contract) -> dict[str, int | float]:
    decoder = contract.decoder
    y, x, h, w = decoder.box_coder
    return {
        "max_detections": decoder.max_detections,
        "max_classes_per_detection": 1,
        # Suppression of each class by itself ("regular") loses class number N on N threads, 1 < N:
        # LiteRT's kernel skips it (tensorflow/tensorflow#56058).
        "use_regular_nms": False,
        "nms_score_threshold": decoder.min_score,
        "nms_iou_threshold": decoder.nms_iou,
        "num_classes": len(contract.labels),
        "y_scale": y,
        "x_scale": x,
        "h_scale": h,
        "w_scale": w,
    }


class _Tail:
    """Adds float tensors and operators to a file."""

    def __init__(self, file: EditableFile) -> None:
        self._file = file

    def shape(self, index: int) -> tuple[int, ...]:
        return tuple(int(size) for size in self._file.tensors[index].shape)

    def tensor(
        self, name: str, shape: tuple[int, ...], values: NDArray[np.float32] | None = None
    ) -> int:
        """Add a float32 tensor, constant if there are values; return its index."""
        schema, model = self._file.schema, self._file.model
        tensor = schema.TensorT()
        # As bytes, like the names that were read.
        tensor.name, tensor.shape = name.encode(), np.array(shape, np.int32)
        tensor.type = schema.TensorType.FLOAT32
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        self._file.tensors.append(tensor)
        return len(self._file.tensors) - 1

    def dequantized(self, index: int) -> int:
        """Return a float32 tensor with the real values of another."""
        if self._file.is_float(index):
            return index
        name = bytes(self._file.tensors[index].name).decode()
        real = self.tensor(f"{name}/real", self.shape(index))
        # Version 3 knows uint8, int8 and int16.
        self.operator("DEQUANTIZE", [index], [real], version=3)
        return real

    def operator(
        self, name: str, inputs: list[int], outputs: list[int], version: int = 1
    ) -> schema.OperatorT:
        """Add an operator, by its name among LiteRT's builtin ones; return it."""
        operator = self._file.operator(name, version, (inputs, outputs))
        self._file.operators.append(operator)
        return operator

    def custom(
        self, inputs: list[int], outputs: list[int], options: dict[str, int | float]
    ) -> None:
        """Add the operator TFLite_Detection_PostProcess."""
        from flatbuffers import flexbuffers

        operator = self.operator("CUSTOM", inputs, outputs)
        self._file.model.operatorCodes[-1].customCode = _OPERATOR.encode()
        operator.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(options)), np.uint8)

    def set_outputs(self, outputs: dict[str, int], signature: str) -> None:
        """Replace the outputs of the subgraph and of the signature."""
        self._file.graph.outputs = np.array(list(outputs.values()), np.int32)
        for item in self._file.model.signatureDefs or []:
            if bytes(item.signatureKey).decode() != signature:
                continue
            item.outputs = []
            for name, index in outputs.items():
                entry = self._file.schema.TensorMapT()
                entry.name, entry.tensorIndex = name, index
                item.outputs.append(entry)
