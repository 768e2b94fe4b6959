"""Describe a .tflite that was not made by quantdet, so that it runs and is measured like ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from quantdet.errors import ModelError
from quantdet.runtime.contract import (
    Contract,
    DecoderSpec,
    InputSpec,
    TensorSpec,
    file_sha256,
    label_fault,
)
from quantdet.runtime.engine import Engine
from quantdet.runtime.fit import check_fit
from quantdet.runtime.flatbuffer import verify_model

_PICTURE_NDIM = 4
_PARTS = ("boxes", "scores", "classes", "count")
POST_PROCESS = "TFLite_Detection_PostProcess"
_IN_ORDER = ("boxes", "classes", "scores", "count")


def describe_model(  # noqa: PLR0913 - one call with names is the public interface
    model_file: Path | str,
    *,
    labels: Sequence[str],
    decoder: DecoderSpec,
    outputs: Mapping[str, str],
    background_index: int | None = None,
    pixels: tuple[float, float] | None = None,
    letterbox: int | None = None,
    color_order: Literal["RGB", "BGR"] = "RGB",
    signature: str | None = None,
) -> Contract:
    """Return the contract of a model made elsewhere; shapes and scales are read from the file.

    Args:
        model_file: a .tflite with one picture input (1, height, width, 3), RGB.
        labels: class names in the order of the model's class numbers, without background.
        decoder: how its outputs become boxes; docs/contract.md describes the kinds.
        outputs: part → name of the output: "boxes" and "scores", for decoder "post_processed"
            also "classes" and "count". "boxes" alone: they and the scores are in one output. Files
            without a signature have names of tensors.
        background_index: which column of the scores is background; None if there is none.
        pixels: (pixel_offset, pixel_scale), a pixel p means ``(p - offset) / scale``: (127.5,
            127.5) for [-1, 1], (0, 255) for [0, 1]. None for an integer input whose numbers are
            the pixels.
        letterbox: grey level of the border, 0 to 255, of a model whose pictures keep their aspect
            ratio; None stretches them.
        color_order: of the channels that the model takes.
        signature: None takes "serving_default", else the first, else none.

    Returns:
        The contract, checked against the file. ``contract.save(contract_path(model_file))``
        puts it where :class:`quantdet.Detector` looks.

    Raises:
        ModelError: the file cannot be run, does not have what is named, or its operator
            TFLite_Detection_PostProcess says that the outputs are other ones.

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
    fault = label_fault(labels)
    if fault:
        raise ModelError(f"{model_file}: label {fault}")
    contract = Contract(
        task="foreign",
        signature=engine.signature,
        input=picture_input(engine, pixels).model_copy(
            update={"letterbox": letterbox, "color_order": color_order}
        ),
        decoder=decoder,
        labels=tuple(labels),
        background_index=background_index,
        sha256=file_sha256(model_file),
        **_outputs(model_file, engine, outputs),
    )
    check_fit(model_file, contract, engine)
    if decoder.kind == "post_processed":
        _check_order(model_file, engine, outputs)
    return contract


def post_process_outputs(engine: Engine) -> dict[str, str] | None:
    """Return part → output of a file that ends with TFLite_Detection_PostProcess; None: others.

    The operator's order is fixed (tensorflow/lite/kernels/detection_postprocess.cc), whatever the
    outputs are called.
    """
    names = engine.outputs_of(POST_PROCESS)
    if names is None or len(names) != len(_IN_ORDER):
        return None
    return dict(zip(_IN_ORDER, names, strict=True))


def _check_order(model_file: Path, engine: Engine, outputs: Mapping[str, str]) -> None:
    right = post_process_outputs(engine)
    if right is not None and dict(outputs) != right:
        raise ModelError(
            f"{model_file}: outputs are mixed up: its operator {POST_PROCESS} writes {right}; give "
            "these, or let `quantdet describe` read them"
        )


def picture_input(engine: Engine, pixels: tuple[float, float] | None) -> InputSpec:
    """Return the input of a model; ``pixels`` as of :func:`describe_model`.

    Raises:
        ModelError: it takes no RGB picture, or is float and ``pixels`` is not given.
    """
    model_file, tensor = engine.model_file, engine.input
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
    if unknown or "boxes" not in names:
        raise ModelError(
            f"{model_file}: outputs names {unknown or 'too little'}; give boxes and scores, and "
            "for decoder 'post_processed' classes and count"
        )
    names = {"scores": names["boxes"], **names}
    for name in names.values():
        if name not in engine.outputs:
            raise ModelError(f"{model_file}: has no output {name!r}, only {sorted(engine.outputs)}")
    return {part: engine.outputs[name] for part, name in names.items()}
