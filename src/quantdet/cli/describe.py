"""The command that writes the contract of a model made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantdet.cli.output import Json, show
from quantdet.errors import ConfigError

if TYPE_CHECKING:
    from quantdet.runtime.labels_inside import FoundLabels
    from quantdet.runtime.recognise import Recognised


def describe(  # noqa: PLR0913, PLR0917 - options of the command line
    model: Annotated[Path, typer.Argument(help="A .tflite that quantdet did not make.")],
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="Class names: a file (one a line, or Ultralytics' metadata.yaml), coco80 or "
            "coco90; default: those inside the file.",
        ),
    ] = None,
    voc_names: Annotated[
        bool,
        typer.Option("--voc-names", help="Call COCO's classes as VOC does, to evaluate on VOC."),
    ] = False,
    pixels: Annotated[
        str | None,
        typer.Option(
            "--pixels",
            help="LOW,HIGH: what the darkest and the brightest pixel are for a float input, e.g. "
            "0,1 or -1,1.",
        ),
    ] = None,
    letterbox: Annotated[
        bool | None,
        typer.Option(
            "--letterbox/--stretch",
            help="Keep the aspect ratio of pictures, or not; default: as the layout is trained.",
        ),
    ] = None,
    bgr: Annotated[
        bool | None,
        typer.Option("--bgr/--rgb", help="Order of colours; default: as the layout is trained."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a contract that is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Recognise a detector made elsewhere and write its contract, so that it runs like ours.

    Example: quantdet describe yolov8n_full_integer_quant.tflite
    Example: quantdet describe ssd.tflite --labels labelmap.txt --pixels -1,1
    """
    from quantdet.runtime.coco import as_voc_names
    from quantdet.runtime.contract import contract_path
    from quantdet.runtime.recognise import Choices, recognise_model

    target = contract_path(model)
    if target.exists() and not overwrite:
        raise ConfigError(f"{target}: is there already; --overwrite replaces it")
    names = _labels(model, labels)
    found = recognise_model(
        model,
        as_voc_names(names.labels) if voc_names else names.labels,
        Choices(
            pixels=None if pixels is None else _pixels(pixels),
            letterbox=letterbox,
            color_order=None if bgr is None else ("BGR" if bgr else "RGB"),
        ),
    )
    found.contract.save(target)
    content = {
        "layout": found.layout,
        "labels_from": names.source,
        "contract_file": str(target),
        "contract": found.contract.model_dump(mode="json"),
    }
    show(content, as_json, _text(found, names, target))


def _labels(model: Path, given: str | None) -> FoundLabels:
    from quantdet.runtime.coco import NAMED_LABELS
    from quantdet.runtime.labels_inside import FoundLabels, labels_inside, read_labels

    if given in NAMED_LABELS:
        return FoundLabels(NAMED_LABELS[given], given)
    if given is not None:
        return read_labels(Path(given))
    if not model.is_file():
        raise ConfigError(f"{model}: no such model file; check the path")
    found = labels_inside(model)
    if found is None:
        raise ConfigError(
            f"{model}: has no labels inside; give --labels FILE with one class a line, or one of "
            f"{', '.join(NAMED_LABELS)}"
        )
    return found


def _pixels(text: str) -> tuple[float, float]:
    """Return (pixel_offset, pixel_scale) of the texts LOW,HIGH."""
    try:
        low, high = map(float, text.split(","))
        scale = 255 / (high - low)
    except (ValueError, ZeroDivisionError):
        scale = 0.0
    if scale <= 0:
        raise ConfigError(f"--pixels {text}: expected LOW,HIGH, e.g. 0,1 or -1,1")
    return -low * scale, scale


def _text(found: Recognised, names: FoundLabels, target: Path) -> str:
    contract, spec = found.contract, found.contract.input
    low, high = ((p - spec.pixel_offset) / spec.pixel_scale for p in (0, 255))
    fit = "stretched" if spec.letterbox is None else f"in a border of grey {spec.letterbox}"
    shown = ", ".join(contract.labels[:3])
    rows = {
        "layout": found.layout,
        "labels": f"{len(contract.labels)} ({shown} …), from {names.source}",
        "input": f"{spec.size_hw[1]} x {spec.size_hw[0]} {spec.tensor.dtype}, {fit}, "
        f"{spec.color_order} from {low:g} to {high:g}",
        "decoder": f"{contract.decoder.kind}, score at least {contract.decoder.score_threshold:g}",
        "written": str(target),
    }
    return "\n".join(f"{name:<8} {value}" for name, value in rows.items())
