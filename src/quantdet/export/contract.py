"""Describe an exported detector so that a device can run it."""

from __future__ import annotations

from pathlib import Path

from quantdet.config import Config
from quantdet.errors import ExportError
from quantdet.quant.litert_file import FileGraph, FileTensor, read_litert
from quantdet.runtime.contract import (
    Contract,
    DecoderSpec,
    InputSpec,
    TensorSpec,
    contract_path,
    file_sha256,
)

# [model] head → (decoder, index of background among the scores)
_DECODERS: dict[str, tuple[str, int | None]] = {"global": ("single_box", 0), "grid": ("grid", None)}


def write_contract(
    model_file: Path, config: Config, labels: tuple[str, ...], data_fingerprint: str
) -> Contract:
    """Write ``NAME.contract.json`` beside a .tflite made from a ``localizer``.

    Raises:
        ExportError: the file lacks an output called "boxes" or "scores".
    """
    file = read_litert(model_file)
    for name in ("boxes", "scores"):
        if name not in file.outputs:
            raise ExportError(f"{model_file}: has no output {name!r}, only {list(file.outputs)}")
    ((input_name, input_index),) = file.inputs.items()
    tensor = file.tensors[input_index]
    kind, background = _DECODERS[config.model.head]
    contract = Contract(
        task=config.model.name,
        input=InputSpec(
            tensor=_spec(input_name, tensor), size_hw=(tensor.shape[1], tensor.shape[2])
        ),
        boxes=_output(file, "boxes"),
        scores=_output(file, "scores"),
        decoder=DecoderSpec(kind=kind, score_threshold=config.predict.score_threshold),
        labels=labels,
        background_index=background,
        sha256=file_sha256(model_file),
        data_fingerprint=data_fingerprint,
    )
    contract.save(contract_path(model_file))
    return contract


def _output(file: FileGraph, name: str) -> TensorSpec:
    return _spec(name, file.tensors[file.outputs[name]])


def _spec(name: str, tensor: FileTensor) -> TensorSpec:
    scale = float(tensor.scales[0]) if tensor.scales.size else 0.0
    return TensorSpec(
        name=name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        scale=scale,
        zero_point=tensor.zero_point,
    )
