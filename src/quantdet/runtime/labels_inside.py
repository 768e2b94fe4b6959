"""Class names that others' tools put into a .tflite: files of the zip archive behind the model.

TFLite's metadata keep a label file there (TF Object Detection, Model Maker, MediaPipe); Ultralytics
a description of the model, as JSON, as a Python literal, or as YAML.
"""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from quantdet.errors import DependencyError, ModelError

_MOST_BYTES = 1 << 20  # a real one has some kilobytes
_MOST_FILES = 16
_TOO_DEEP = (RecursionError, MemoryError)
PLACEHOLDERS = ("???", "background", "__background__")
"""What a label file calls a class that is none: the background in its first line, or a gap."""


@dataclass(frozen=True)
class FoundLabels:
    """Class names and where they stood, e.g. "labelmap.txt inside the file"."""

    labels: tuple[str, ...]
    source: str


def labels_inside(model_file: Path) -> FoundLabels | None:
    """Return the class names inside a .tflite; None where there are none.

    Raises:
        ModelError: a description of Ultralytics is there, but not of a detector, or not readable.
        DependencyError: it is YAML, and PyYAML is not installed.
    """
    texts = _texts(model_file)
    for name in ("metadata.json", "temp_meta.txt", "metadata.yaml"):
        if name in texts:
            found = _read(f"{model_file}: {name} inside", name, texts[name])
            return FoundLabels(found, f"{name} inside the file")
    lists = sorted(name for name in texts if name.endswith(".txt"))
    # A file of several outputs may have several; one of them is about labels.
    chosen = next((name for name in lists if "label" in name.lower()), None)
    if chosen is None and len(lists) == 1:
        chosen = lists[0]
    if chosen is None or not _lines(texts[chosen]):
        return None
    return FoundLabels(_lines(texts[chosen]), f"{chosen} inside the file")


def read_labels(path: Path) -> FoundLabels:
    """Return the class names of a label file: one a line, or an Ultralytics description.

    Raises:
        ModelError: not readable, or without names.
        DependencyError: as :func:`labels_inside`.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: no readable label file ({error}); check --labels") from None
    found = _read(str(path), path.name, text)
    if not found:
        raise ModelError(f"{path}: names no class; give one a line")
    return FoundLabels(found, str(path))


def named(labels: tuple[str, ...], *, has_background_line: bool) -> tuple[str, ...]:
    """Return labels of a file as a contract has them.

    Args:
        labels: one a line.
        has_background_line: whether a placeholder in the first line is the background (which has
            no number), and not class 0.

    Returns:
        Names that are unique: a gap is called by its place, "unused 12".
    """
    if has_background_line and labels and labels[0] in PLACEHOLDERS:
        labels = labels[1:]
    return tuple(
        f"unused {number}" if not label or label == PLACEHOLDERS[0] else label
        for number, label in enumerate(labels, start=1)
    )


def _texts(model_file: Path) -> dict[str, str]:
    """Return name → content of the small files in the archive; nothing where there is none."""
    try:
        with zipfile.ZipFile(model_file) as archive:
            texts = [
                info
                for info in archive.infolist()
                if info.filename.endswith((".txt", ".json", ".yaml"))
                and info.file_size <= _MOST_BYTES
            ]
            return {
                info.filename: archive.read(info).decode("utf-8-sig")
                for info in texts[:_MOST_FILES]
            }
    except Exception:  # zipfile and its decompressors raise about every kind on damaged bytes
        return {}


def _lines(text: str) -> tuple[str, ...]:
    """Return one name a line, without empty lines at the end."""
    return tuple(line.strip() for line in text.rstrip().splitlines())


def _read(where: str, name: str, text: str) -> tuple[str, ...]:
    """Return the names in a text, whose file's name says what it is."""
    for ending, read in _DESCRIPTIONS.items():
        if name.endswith(ending):
            return _names(where, read, text)
    return _lines(text)


def _names(where: str, read: Callable[[str], object], text: str) -> tuple[str, ...]:
    """Return "names" of an Ultralytics description: number → name, or a list."""
    try:
        content = read(text)
        if not isinstance(content, Mapping):
            raise TypeError("no description")
        names = _in_order(content["names"])
    except (ValueError, OverflowError, SyntaxError, TypeError, LookupError, *_TOO_DEEP):
        raise ModelError(f"{where}: has no names of classes; give them with --labels") from None
    task = content.get("task", "detect")
    if task != "detect":
        raise ModelError(f"{where}: the model's task is {task!r}; quantdet runs detectors")
    return names


def _in_order(names: object) -> tuple[str, ...]:
    """Return names given as a list, or as number → name.

    Raises:
        TypeError, ValueError: they are neither.
    """
    if isinstance(names, Mapping):
        names = [names[key] for key in sorted(names, key=int)]
    if not isinstance(names, list) or not names:
        raise TypeError("no list of names")
    # Nothing nested is written out: YAML's aliases make much of little.
    if not all(isinstance(name, str | int) for name in names):
        raise TypeError("names are texts")
    return tuple(map(str, names))


def _yaml(text: str) -> object:
    try:
        import yaml
    except ImportError:
        raise DependencyError("metadata.yaml needs PyYAML: pip install pyyaml") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


_DESCRIPTIONS: Mapping[str, Callable[[str], object]] = {
    ".json": json.loads,
    "temp_meta.txt": ast.literal_eval,
    ".yaml": _yaml,
    ".yml": _yaml,
}
"""End of a file's name → how an Ultralytics description is read."""
