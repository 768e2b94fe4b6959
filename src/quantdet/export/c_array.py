"""Format "c-array": a model and its contract as C source, for programs without a file system."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quantdet.errors import ExportError
from quantdet.export.micro import MicroNeeds, micro_needs
from quantdet.export.source import ModelSource
from quantdet.runtime.contract import Contract, TensorSpec
from quantdet.runtime.raw import output_specs
from quantdet.runtime.thresholds import label_thresholds
from quantdet.system.templates import text_templates

if TYPE_CHECKING:
    from jinja2 import Environment

_SOURCES = Path(__file__).parent / "c"
_TYPES = "quantdet_model.h"
_KINDS = ("ssd", "post_processed", "single_box", "grid")  # of quantdet_kind in that header
_DECODER = ("quantdet_decode.h", "quantdet_decode.c")
"""Sources in :data:`_SOURCES`: for every model, and for detectors with anchors."""
_ROW = 20
_PLAIN = set(range(32, 127)) - set(b'"\\?')
_ABSENT = TensorSpec(name="", shape=(0,), dtype="float32")


def c_array(source: ModelSource) -> dict[str, bytes]:
    """Return NAME.h and NAME.c in C99, NAME_micro.h in C++, and the C sources that they go with.

    NAME is that of the file, with "_" for what C does not allow in names. The array is aligned to
    16 bytes, as TFLite-Micro wants it. Float models are allowed; their tensors say float32.

    Raises:
        DependencyError: jinja2 is not installed.
        ExportError: the C sources have no decoder for it.
    """
    _check_decoder(source.contract)
    return c_sources(source, micro_needs(source.content))


def c_sources(source: ModelSource, micro: MicroNeeds) -> dict[str, bytes]:
    """Return the files of :func:`c_array`.

    Args:
        source: the detector.
        micro: what TFLite-Micro needs to run it.

    Raises:
        DependencyError: jinja2 is not installed.
    """
    environment = c_environment("c-array")
    values = c_values(source) | {"micro": micro}
    prefix = values["prefix"]
    made = {f"{prefix}{end}": f"model{end}.j2" for end in (".h", ".c", "_micro.h")}
    decoder = _DECODER if source.contract.decoder.kind == "ssd" else ()
    return {
        **{name: (_SOURCES / name).read_bytes() for name in (_TYPES, *decoder)},
        **{
            name: environment.get_template(template).render(values).encode()
            for name, template in made.items()
        },
    }


def c_environment(format_name: str) -> Environment:
    """Return jinja2's environment for the templates of C sources.

    Raises:
        DependencyError: jinja2 is not installed.
    """
    return text_templates("quantdet.export", f"format {format_name}", "firmware")


def _check_decoder(contract: Contract) -> None:
    spec, kind = contract.input, contract.decoder.kind
    if kind not in _KINDS or contract.decoder.agnostic_nms:
        raise ExportError(f"format c-array: its C sources have no decoder {kind!r} that does this")
    if spec.letterbox is not None or spec.color_order != "RGB":
        raise ExportError(
            "format c-array: its C sources stretch pictures and give RGB; export a model that "
            "takes them so"
        )


def c_name(stem: str) -> str:
    """Return a name for C: other signs become "_", and a letter comes first."""
    name = re.sub(r"[^0-9A-Za-z_]", "_", stem)
    return name if name[:1].isalpha() else f"m_{name}"


def c_values(source: ModelSource) -> dict[str, object]:
    """Return what templates of C sources say of a detector, as C has it."""
    contract = source.contract
    sha256 = hashlib.sha256(source.content).hexdigest()
    decoder = contract.decoder
    prefix = c_name(source.name)
    return {
        "comment": f"Made by quantdet from {_text(f'{source.name}.tflite')}, sha256 {sha256}.",
        "prefix": prefix,
        "size": len(source.content),
        "sha256": _text(sha256),
        "height": contract.input.size_hw[0],
        "width": contract.input.size_hw[1],
        "pixel_offset": _real(contract.input.pixel_offset),
        "pixel_scale": _real(contract.input.pixel_scale),
        "tensors": _tensors(source),
        "kind": f"QUANTDET_{decoder.kind.upper()}",
        "labels": [_text(label) for label in contract.labels],
        "background": -1 if contract.background_index is None else contract.background_index,
        "thresholds": [_real(value) for value in label_thresholds(contract)],
        "min_score": _real(decoder.min_score),
        "nms_iou": _real(decoder.nms_iou),
        "max_detections": decoder.max_detections,
        "anchor_count": sum(m.rows * m.cols * len(m.shapes_hw) for m in decoder.anchors),
        "maps": _maps(contract),
        "box_coder": [_real(value) for value in decoder.box_coder],
        "data": _bytes(source.content),
    }


def _tensors(source: ModelSource) -> dict[str, dict[str, object]]:
    outputs = output_specs(source.contract)
    found = {"input": _tensor(source.contract.input.tensor, 0)}
    for part in ("boxes", "scores", "classes", "count"):
        index = source.output_parts.index(part) if part in outputs else -1
        found[part] = _tensor(outputs.get(part, _ABSENT), index)
    return found


def _tensor(spec: TensorSpec, index: int) -> dict[str, object]:
    return {
        "name": _text(spec.name),
        "index": index,
        "type": f"QUANTDET_{spec.dtype.upper()}",
        "elements": math.prod(spec.shape),
        "scale": _real(spec.scale),
        "zero_point": spec.zero_point,
    }


def _maps(contract: Contract) -> list[dict[str, object]]:
    return [
        {
            "rows": item.rows,
            "cols": item.cols,
            "shapes": [tuple(map(_real, shape)) for shape in item.shapes_hw],
        }
        for item in contract.decoder.anchors
    ]


def _real(value: float) -> str:
    """Return a C constant of type float that is the nearest to ``value``."""
    return f"{float(np.float32(value))!r}f"


def _text(value: str) -> str:
    """Return a C string of ``value`` in UTF-8; what is not plain becomes octal."""
    signs = (chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in value.encode())
    return '"' + "".join(signs) + '"'


def _bytes(content: bytes) -> str:
    known = [f"{value}," for value in range(256)]
    rows = (content[i : i + _ROW] for i in range(0, len(content), _ROW))
    return "\n".join("".join(known[value] for value in row) for row in rows)
