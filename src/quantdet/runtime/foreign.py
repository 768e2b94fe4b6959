"""Describe a .tflite that was not made by quantdet, so that it runs and is measured like ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quantdet.errors import ModelError
from quantdet.runtime.contract import (
    Contract,
    DecoderSpec,
    InputSpec,
    TensorSpec,
    file_sha256,
)
from quantdet.runtime.engine import Engine
from quantdet.runtime.fit import check_fit
from quantdet.runtime.flatbuffer import verify_model

_PICTURE_NDIM = 4
_PARTS = ("boxes", "scores", "classes", "count")


def describe_model(  # noqa: PLR0913 - one call with names is the public interface
    model_file: Path | str,
    *,
    labels: Sequence[str],
    decoder: DecoderSpec,
    outputs: Mapping[str, str],
    background_index: int | None = None,
    pixels: tuple[float, float] | None = None,
    signature: str | None = None,
) -> Contract:
    """Return the contract of a model made elsewhere; shapes and scales are read from the file.

    Args:
        model_file: a .tflite with one picture input (1, height, width, 3), RGB.
        labels: class names in the order of the model's class numbers, without background.
        decoder: how its outputs become boxes; docs/contract.md describes the kinds.
        outputs: part → name of the output: "boxes" and "scores", for decoder "post_processed"
            also "classes" and "count". Files without a signature have names of tensors.
        background_index: which column of the scores is background; None if there is none.
        pixels: (pixel_offset, pixel_scale), a pixel p means ``(p - offset) / scale``: (127.5,
            127.5) for [-1, 1], (0, 255) for [0, 1]. None for an integer input whose numbers are
            the pixels.
        signature: None takes "serving_default", else the first, else none.

    Returns:
        The contract, checked against the file. ``contract.save(contract_path(model_file))``
        puts it where :class:`quantdet.Detector` looks.

    Raises:
        ModelError: the file cannot be run, or does not have what is named.

    Example:
        >>> describe_model(  # doctest: +SKIP
        ...     Path("coco.tflite"),
        ...     labels=coco_labels(voc_names=True),
        ...     decoder=DecoderSpec(kind="post_processed", max_detections=10),
        ...     outputs={
        ...         "boxes": "TFLite_Detection_PostProcess",
        ...         "classes": "TFLite_Detection_PostProcess:1",
        ...         "scores": "TFLite_Detection_PostProcess:2",
        ...         "count": "TFLite_Detection_PostProcess:3",
        ...     },
        ... )
    """
    model_file = Path(model_file)
    if model_file.is_file():
        verify_model(model_file)
    engine = Engine(model_file, signature=signature)
    contract = Contract(
        task="foreign",
        signature=engine.signature,
        input=_input(model_file, engine.input, pixels),
        decoder=decoder,
        labels=tuple(labels),
        background_index=background_index,
        sha256=file_sha256(model_file),
        **_outputs(model_file, engine, outputs),
    )
    check_fit(model_file, contract, engine)
    return contract


def _input(model_file: Path, tensor: TensorSpec, pixels: tuple[float, float] | None) -> InputSpec:
    if len(tensor.shape) != _PICTURE_NDIM or tensor.shape[0] != 1 or tensor.shape[3] != 3:
        raise ModelError(
            f"{model_file}: input {tensor.name!r} has shape {tensor.shape}; quantdet runs models "
            "for one RGB picture (1, height, width, 3)"
        )
    if pixels is None:
        if tensor.scale <= 0:
            raise ModelError(
                f"{model_file}: input {tensor.name!r} is {tensor.dtype}, so the file does not say "
                "what pixels mean; give pixels, e.g. (127.5, 127.5) for the range [-1, 1]"
            )
        shift = 128 if tensor.dtype == "int8" else 0
        pixels = (tensor.zero_point + shift, 1 / tensor.scale)
    return InputSpec(
        tensor=tensor,
        size_hw=(tensor.shape[1], tensor.shape[2]),
        pixel_offset=pixels[0],
        pixel_scale=pixels[1],
    )


def _outputs(model_file: Path, engine: Engine, names: Mapping[str, str]) -> dict[str, TensorSpec]:
    unknown = sorted(set(names) - set(_PARTS))
    missing = [part for part in ("boxes", "scores") if part not in names]
    if unknown or missing:
        raise ModelError(
            f"{model_file}: outputs names {unknown or 'too little'}; give boxes and scores, and "
            "for decoder 'post_processed' classes and count"
        )
    for name in names.values():
        if name not in engine.outputs:
            raise ModelError(f"{model_file}: has no output {name!r}, only {sorted(engine.outputs)}")
    return {part: engine.outputs[name] for part, name in names.items()}
