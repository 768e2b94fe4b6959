"""Pictures as data URIs, small enough to travel inside the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from pydantic import BaseModel

from quantdet.errors import DataError, QuantdetError
from quantdet.runs import Run
from quantdet.runtime.predictions import FORMAT, PREDICTIONS_FILE, Predictions
from quantdet.runtime.preprocess import read_image
from quantdet.system.listing import shown_files

MOST_PICTURES = 12
_PICTURE_PX = 480
# Up to eighteen rows of three: smaller, so that the report stays a file for a mail.
_EXAMPLE_PX = 400
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
class Example:
    """A test picture: its name, what is special about it, and one picture for each column."""

    name: str
    note: str
    cells: tuple[Picture, ...]


@dataclass(frozen=True)
class Examples:
    """Test pictures with the truth and the answers of models side by side.

    Attributes:
        columns: what each column shows.
        groups: title → what the group is, and its pictures.
        note: which could not be read.
    """

    columns: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, tuple[Example, ...]]] = field(default_factory=dict)
    note: str = ""


_GROUPS = {
    "differ": (
        "Where float and uint8 differ most",
        "The pictures with the largest differences between what the two models show, the largest "
        "first.",
    ),
    "errors": (
        "Where uint8 makes most errors",
        "Wrong boxes and missed objects together, the worst first.",
    ),
    "spread": (
        "Not chosen by result",
        "Pictures at even distances in the list of the other test pictures.",
    ),
}
"""Group of ``examples.json`` → title and what it is; see ``evaluate.examples``."""


class _Cell(BaseModel):
    file: str
    text: str


class _ExampleRow(BaseModel):
    image_id: str
    group: str = "spread"
    note: str = ""
    cells: tuple[_Cell, ...]


class _ExampleFile(BaseModel):
    columns: tuple[str, ...]
    pictures: tuple[_ExampleRow, ...]


def embed_examples(run: Run) -> Examples:
    """Return what ``evaluate`` drew into ``examples/`` of the run folder."""
    folder = run.examples_dir
    try:
        content = (folder / "examples.json").read_text("utf-8")
        listed = _ExampleFile.model_validate_json(content)
    except FileNotFoundError:
        return Examples()
    except (OSError, ValueError):
        return Examples(note=f"{folder}: not readable; evaluate again.")
    groups = {}
    try:
        for key, (title, text) in _GROUPS.items():
            rows = tuple(_example(folder, item) for item in listed.pictures if item.group == key)
            if rows:
                groups[title] = (text, rows)
    except DataError as error:
        return Examples(note=f"{error}; evaluate again.")
    return Examples(listed.columns, groups)


def _example(folder: Path, row: _ExampleRow) -> Example:
    cells = []
    for cell in row.cells:
        # Only the name: a damaged file must not make the report read elsewhere.
        image = Image.fromarray(read_image(folder / Path(cell.file).name))
        image.thumbnail((_EXAMPLE_PX, _EXAMPLE_PX))
        cells.append(_encode(image, row.image_id, cell.text))
    return Example(row.image_id, row.note, tuple(cells))


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
    predictions, problem = _predictions(folder)
    maker = predictions.model_sha256
    if maker and model_sha256 and maker != model_sha256:
        return Gallery(note=f"The pictures in {folder} were made by another model.")
    captions = _captions(predictions)
    shown: list[Picture] = []
    unread: list[str] = []
    for path in files[:MOST_PICTURES]:
        try:
            image = Image.fromarray(read_image(path))
        except DataError:
            unread.append(path.name)
            continue
        image.thumbnail((_PICTURE_PX, _PICTURE_PX))
        shown.append(_encode(image, path.name, captions.get(path.name, "")))
    notes = [problem, *_left_out(len(files), unread)]
    return Gallery(tuple(shown), " ".join(filter(None, notes)))


def _picture_files(folder: Path) -> list[Path]:
    return [path for path in shown_files(folder) if path.suffix.lower() in _SUFFIXES]


def _left_out(count: int, unread: list[str]) -> Iterator[str]:
    if count > MOST_PICTURES:
        yield f"The first {MOST_PICTURES} of {count} pictures."
    if unread:
        yield f"Not readable: {', '.join(unread)}."


def _encode(image: Image.Image, name: str, text: str) -> Picture:
    memory = io.BytesIO()
    image.save(memory, "JPEG", quality=82, optimize=True)
    code = base64.b64encode(memory.getvalue()).decode()
    return Picture(f"data:image/jpeg;base64,{code}", image.width, image.height, name, text)


def _predictions(folder: Path) -> tuple[Predictions, str]:
    """Return ``predictions.json``, and why it cannot be read; empty if it is not there."""
    nothing = Predictions(format=FORMAT)
    file = folder / PREDICTIONS_FILE
    if not file.is_file():
        return nothing, ""
    try:
        return Predictions.read(file), ""
    except QuantdetError as error:
        return nothing, f"{error}."


def _captions(predictions: Predictions) -> dict[str, str]:
    """Return drawn file name → "car 93 %, boat 51 %"."""
    captions = {}
    for item in predictions.predictions:
        if item.drawn is not None:
            found = [f"{one.label} {100 * one.score:.0f} %" for one in item.detections]
            captions[item.drawn] = ", ".join(found) or "nothing found"
    return captions
