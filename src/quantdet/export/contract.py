"""Describe an exported detector so that a device can run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quantdet.config import Config, PredictConfig
from quantdet.errors import ExportError
from quantdet.export.metadata import embed_contract
from quantdet.kinds import DETECTOR, LOCALIZER, find_family
from quantdet.models.ssd import find_layout, ssd_anchors
from quantdet.quant.litert_file import FileGraph, FileTensor, read_litert
from quantdet.results.thresholds import DEFAULT_SCORE, Thresholds
from quantdet.runtime.contract import (
    Contract,
    DecoderSpec,
    InputSpec,
    TensorSpec,
)

_MAX_DETECTIONS = 100


def _localizer(config: Config) -> tuple[DecoderSpec, int | None]:
    kind, background = {"global": ("single_box", 0), "grid": ("grid", None)}[config.model.head]
    return DecoderSpec(kind=kind), background


def _ssd(config: Config) -> tuple[DecoderSpec, int | None]:
    spec = DecoderSpec(
        kind="ssd",
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


def configured(predict: PredictConfig) -> Thresholds:
    """Return the thresholds of a configuration; a default where it leaves them to validation."""
    score, own = predict.score_threshold, predict.class_thresholds
    if score is not None:
        return Thresholds(score=score, per_class=own, chosen="settings")
    return Thresholds(score=DEFAULT_SCORE, per_class=own, chosen="default")


def write_contract(
    model_file: Path | str,
    config: Config,
    labels: tuple[str, ...],
    data_fingerprint: str,
    thresholds: Thresholds | None = None,
) -> Contract:
    """Write the contract of an exported detector, next to the file and into its metadata.

    Args:
        model_file: the detector.
        config: of the run.
        labels: class names.
        data_fingerprint: of the training data.
        thresholds: confidence thresholds; None takes those of the configuration.

    Raises:
        ExportError: the file lacks an output called "boxes" or "scores".
        ModelError: labels or anchors do not fit the outputs.
    """
    model_file = Path(model_file)
    contract = describe_export(model_file, config, labels, data_fingerprint)
    chosen = thresholds or configured(config.predict)
    decoder = contract.decoder.model_copy(
        update={"score_threshold": chosen.score, "class_thresholds": dict(chosen.per_class)}
    )
    facts = {"thresholds": chosen.model_dump(mode="json")}
    complete = contract.model_copy(update={"decoder": decoder, "metrics": facts})
    return embed_contract(model_file, complete)


def describe_export(
    model_file: Path, config: Config, labels: tuple[str, ...], data_fingerprint: str
) -> Contract:
    """Return the contract of an exported detector, without thresholds. Nothing is written.

    Raises:
        ExportError: the file lacks an output called "boxes" or "scores".
    """
    file = read_litert(model_file)
    for name in ("boxes", "scores"):
        if name not in file.outputs:
            raise ExportError(f"{model_file}: has no output {name!r}, only {list(file.outputs)}")
    ((input_name, input_index),) = file.inputs.items()
    tensor = file.tensors[input_index]
    decoder, background = DECODERS[find_family(config.model.name)](config)
    return Contract(
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
