"""Describe an exported detector so that a device can run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quantdet.config import Config
from quantdet.errors import ExportError
from quantdet.export.metadata import embed_contract
from quantdet.kinds import DETECTOR, LOCALIZER, find_family
from quantdet.models.ssd import find_layout, ssd_anchors
from quantdet.quant.litert_file import FileGraph, FileTensor, read_litert
from quantdet.runtime.contract import (
    Contract,
    DecoderSpec,
    InputSpec,
    TensorSpec,
)

_MAX_DETECTIONS = 100


def _localizer(config: Config) -> tuple[DecoderSpec, int | None]:
    kind, background = {"global": ("single_box", 0), "grid": ("grid", None)}[config.model.head]
    return DecoderSpec(kind=kind, score_threshold=config.predict.score_threshold), background


def _ssd(config: Config) -> tuple[DecoderSpec, int | None]:
    spec = DecoderSpec(
        kind="ssd",
        score_threshold=config.predict.score_threshold,
        class_thresholds=config.predict.class_thresholds,
        max_detections=_MAX_DETECTIONS,
        nms_iou=config.predict.nms_iou,
        anchors=ssd_anchors(config.model),
        box_coder=find_layout(config.model).box_coder,
    )
    return spec, None


DECODERS: dict[str, Callable[[Config], tuple[DecoderSpec, int | None]]] = {
    LOCALIZER: _localizer,
    DETECTOR: _ssd,
}
"""Family → how its outputs are decoded, and the index of background among the scores."""


def write_contract(
    model_file: Path | str, config: Config, labels: tuple[str, ...], data_fingerprint: str
) -> Contract:
    """Write the contract of an exported detector, beside the file and into its metadata.

    Raises:
        ExportError: the file lacks an output called "boxes" or "scores".
        ModelError: labels or anchors do not fit the outputs.
    """
    model_file = Path(model_file)
    file = read_litert(model_file)
    for name in ("boxes", "scores"):
        if name not in file.outputs:
            raise ExportError(f"{model_file}: has no output {name!r}, only {list(file.outputs)}")
    ((input_name, input_index),) = file.inputs.items()
    tensor = file.tensors[input_index]
    decoder, background = DECODERS[find_family(config.model.name)](config)
    contract = Contract(
        task=config.model.name,
        input=InputSpec(
            tensor=_spec(input_name, tensor), size_hw=(tensor.shape[1], tensor.shape[2])
        ),
        boxes=_output(file, "boxes"),
        scores=_output(file, "scores"),
        decoder=decoder,
        labels=labels,
        background_index=background,
        data_fingerprint=data_fingerprint,
    )
    return embed_contract(model_file, contract)


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
