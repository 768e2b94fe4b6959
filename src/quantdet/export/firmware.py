"""Format "firmware": a program around a detector, for TensorFlow Lite Micro's sources."""

from __future__ import annotations

from pathlib import Path

from quantdet.errors import ExportError
from quantdet.export.c_array import c_environment, c_sources, c_values
from quantdet.export.micro import MicroNeeds, micro_needs
from quantdet.export.source import ModelSource
from quantdet.system.listing import shown_files

_SOURCES = Path(__file__).parent / "posix"
_TEMPLATES = {"detector.cc": "detector.cc.j2", "README.md": "README.md.j2"}
_CANDIDATES = 500


def firmware(source: ModelSource) -> dict[str, bytes]:
    """Return the files of a program that reads pictures and prints boxes, in NAME-firmware.

    Its detector is for any board; camera and output are those of a computer with POSIX.

    Raises:
        ExportError: the model has no anchors or no 8 bit input, or TFLite-Micro cannot run it.
        DependencyError: jinja2 is not installed.
    """
    return firmware_files(source, micro_needs(source.content))


def firmware_files(source: ModelSource, micro: MicroNeeds) -> dict[str, bytes]:
    """Return the files of :func:`firmware`.

    Args:
        source: the detector.
        micro: what TFLite-Micro needs to run it.
    """
    _check(source, micro)
    values = c_values(source) | {
        "input_type": f"QUANTDET_{source.contract.input.tensor.dtype.upper()}",
        "file": f"{source.name}.tflite",
        "arena": micro.arena_with_margin,
        "candidates": _CANDIDATES,
    }
    environment = c_environment("firmware")
    files = {
        **c_sources(source, micro),
        **{path.name: path.read_bytes() for path in shown_files(_SOURCES)},
        **{
            name: environment.get_template(template).render(values).encode()
            for name, template in _TEMPLATES.items()
        },
    }
    return {f"{source.name}-firmware/{name}": content for name, content in files.items()}


def _check(source: ModelSource, micro: MicroNeeds) -> None:
    decoder, dtype = source.contract.decoder.kind, source.contract.input.tensor.dtype
    if decoder != "ssd":
        raise ExportError(
            f"{source.name}: format firmware is for detectors with anchors (decoder 'ssd'), this "
            f"one has decoder {decoder!r}; use c-array"
        )
    if dtype not in ("uint8", "int8"):
        raise ExportError(
            f"{source.name}: format firmware is for 8 bit models, this one takes {dtype}; use "
            "c-array"
        )
    if micro.arena_bytes is None:
        raise ExportError(
            f"{source.name}: the size of the arena is not known: {micro.why_no_arena}"
        )
