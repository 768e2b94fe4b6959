"""Formats that are made from a .tflite and its contract, without Keras or TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quantdet.errors import ExportError
from quantdet.export.c_array import c_array
from quantdet.export.firmware import firmware
from quantdet.export.metadata import label_lines
from quantdet.export.post_process import post_process
from quantdet.export.source import ModelSource
from quantdet.system.atomic import write_bytes


def labels(source: ModelSource) -> dict[str, bytes]:
    """Return NAME.labels.txt: a label a line, in the order of the scores' columns."""
    return {f"{source.name}.labels.txt": label_lines(source.contract).encode()}


FILE_FORMATS: dict[str, Callable[[ModelSource], dict[str, bytes]]] = {
    "labels": labels,
    "c-array": c_array,
    "firmware": firmware,
    "postprocess": post_process,
}
"""Format → function that returns file name → content."""


def export_file_formats(
    model_file: Path, formats: Sequence[str], out: Path, *, replace: bool = False
) -> dict[str, list[Path]]:
    """Write a detector in other formats.

    Args:
        model_file: a .tflite with its contract next to it or inside.
        formats: keys of :data:`FILE_FORMATS`.
        out: folder for the files; made if missing.
        replace: write over files of the same name; otherwise only over equal ones.

    Returns:
        Format → its files.

    Raises:
        ModelError: file or contract missing or corrupt, or they do not match.
        ExportError: the model does not go with a format, or a file is in the way.
        DependencyError: a format needs a package that is not installed.
    """
    source = ModelSource.load(model_file)
    made = {name: FILE_FORMATS[name](source) for name in formats}
    write_made({k: v for parts in made.values() for k, v in parts.items()}, out, replace=replace)
    return {name: [out / file for file in parts] for name, parts in made.items()}


def write_made(made: Mapping[str, bytes], out: Path, *, replace: bool = False) -> list[Path]:
    """Write files into a folder; return their paths.

    Args:
        made: name → content.
        out: the folder; made if missing.
        replace: write over files of the same name; otherwise only over equal ones.

    Raises:
        ExportError: a file is in the way.
    """
    files = {out / name: content for name, content in made.items()}
    if not replace:
        _check_free(files)
    for path, content in files.items():
        write_bytes(path, content)
    return list(files)


def _check_free(files: dict[Path, bytes]) -> None:
    for path, content in files.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            raise ExportError(
                f"{path}: already exists with other content; remove it, or choose another "
                "folder with --out"
            )
