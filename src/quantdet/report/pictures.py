"""Pictures as data URIs, small enough to travel inside the report."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel

from quantdet.errors import DataError
from quantdet.runs import Run
from quantdet.runtime.preprocess import read_image

MOST_PICTURES = 12
_PICTURE_PX = 480
_CURVES_PX = 1640
# Curves have a few flat colours and their blends: a palette makes the file a third of the size.
_CURVES_COLORS = 64
_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Picture:
    """An embedded picture.

    Attributes:
        uri: data URI.
        width: pixels.
        height: pixels.
        name: file name.
        text: what it shows, "" if not known.
    """

    uri: str
    width: int
    height: int
    name: str
    text: str = ""


@dataclass(frozen=True)
class Gallery:
    """Drawn predictions; ``note`` says why there are none, or which were left out."""

    pictures: tuple[Picture, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Examples:
    """Test pictures with the truth and the answers of models side by side.

    Attributes:
        columns: what each column shows.
        rows: (name of the picture, one picture for each column).
        note: which could not be read.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[Picture, ...]], ...] = ()
    note: str = ""


class _Cell(BaseModel):
    file: str
    text: str


class _ExampleRow(BaseModel):
    image_id: str
    cells: tuple[_Cell, ...]


class _ExampleFile(BaseModel):
    columns: tuple[str, ...]
    pictures: tuple[_ExampleRow, ...]


def embed_examples(run: Run) -> Examples:
    """Return what ``evaluate`` drew into ``examples/`` of the run folder."""
    folder = run.root / "examples"
    try:
        content = (folder / "examples.json").read_text("utf-8")
        listed = _ExampleFile.model_validate_json(content)
    except FileNotFoundError:
        return Examples()
    except (OSError, ValueError):
        return Examples(note=f"{folder}: not readable; evaluate again.")
    rows = []
    for item in listed.pictures:
        try:
            cells = tuple(_example(folder, cell, item.image_id) for cell in item.cells)
        except DataError as error:
            return Examples(note=f"{error}; evaluate again.")
        rows.append((item.image_id, cells))
    return Examples(listed.columns, tuple(rows))


def _example(folder: Path, cell: _Cell, name: str) -> Picture:
    # Only the name: a damaged file must not make the report read elsewhere.
    image = Image.fromarray(read_image(folder / Path(cell.file).name))
    image.thumbnail((_PICTURE_PX, _PICTURE_PX))
    return _encode(image, name, "JPEG", cell.text)


def embed_curves(path: Path) -> Picture | None:
    """Return learning curves, None if the file is not a readable picture."""
    try:
        image = Image.fromarray(read_image(path))
    except DataError:
        return None
    image.thumbnail((_CURVES_PX, 4 * _CURVES_PX), Image.Resampling.LANCZOS)
    return _encode(image.quantize(_CURVES_COLORS, dither=Image.Dither.NONE), path.name, "PNG")


def embed_predictions(run: Run, model_sha256: str) -> Gallery:
    """Return up to twelve pictures out of ``predictions/`` in the run folder, or beside it.

    Args:
        run: the run.
        model_sha256: of its uint8 file, "" if not exported. Pictures that another model made
            (predictions.json names it) are not shown.
    """
    for folder in (run.root / "predictions", run.root.resolve().parent / "predictions"):
        files = _picture_files(folder)
        if files:
            break
    else:
        return Gallery()
    facts = _facts(folder)
    maker = facts.get("model_sha256")
    if maker and model_sha256 and maker != model_sha256:
        return Gallery(note=f"The pictures in {folder} were made by another model.")
    captions = _captions(facts)
    shown: list[Picture] = []
    unread: list[str] = []
    for path in files[:MOST_PICTURES]:
        try:
            image = Image.fromarray(read_image(path))
        except DataError:
            unread.append(path.name)
            continue
        image.thumbnail((_PICTURE_PX, _PICTURE_PX))
        shown.append(_encode(image, path.name, "JPEG", captions.get(path.name, "")))
    return Gallery(tuple(shown), _left_out(len(files), unread))


def _picture_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())


def _left_out(count: int, unread: list[str]) -> str:
    notes = []
    if count > MOST_PICTURES:
        notes.append(f"The first {MOST_PICTURES} of {count} pictures.")
    if unread:
        notes.append(f"Not readable: {', '.join(unread)}.")
    return " ".join(notes)


def _encode(image: Image.Image, name: str, kind: str, text: str = "") -> Picture:
    memory = io.BytesIO()
    image.save(memory, kind, quality=82, optimize=True)
    code = base64.b64encode(memory.getvalue()).decode()
    uri = f"data:image/{kind.lower()};base64,{code}"
    return Picture(uri, image.width, image.height, name, text)


def _facts(folder: Path) -> Mapping[str, Any]:
    """Return ``predictions.json``, empty if there is none that can be read."""
    try:
        content = json.loads((folder / "predictions.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _captions(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return drawn file name → "car 93 %, boat 51 %"."""
    captions = {}
    try:
        for item in facts.get("predictions", []):
            found = [f"{d['label']} {100 * d['score']:.0f} %" for d in item["detections"]]
            captions[str(item["drawn"])] = ", ".join(found) or "nothing found"
    except (KeyError, TypeError):
        return {}
    return captions
