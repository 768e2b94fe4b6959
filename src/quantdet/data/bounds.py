"""What files of a data set may say: pictures within it, and names of classes in one line."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from quantdet.data.formats.folders import ANNOTATION_FOLDERS, real_path
from quantdet.data.records import Listing, Problem, Reading, Record
from quantdet.errors import DataError
from quantdet.runtime.contract import is_one_line


def keep_within(listing: Listing, root: Path, reading: Reading) -> Listing:
    """Return a listing without objects and pictures that a hostile file could name.

    Lists and annotations of a folder name pictures in this folder. Who gives the file itself
    (a .yaml or .json) means what it names, wherever that is. Links are made by people on this
    machine: they are followed, with a note.

    Args:
        listing: as read.
        root: as the user gave it.
        reading: as the user gave it.

    Raises:
        DataError: a name in the list of classes has several lines, or control characters.
    """
    for name in listing.labels:
        if not is_one_line(name):
            raise DataError(f"{listing.root}: class {name!r} {_NAME_REMEDY}")
    folders = _Folders(root, reading)
    changes: tuple[Callable[[Record], Record], ...] = (_without_odd_names,)
    if root.is_dir():
        changes = (*changes, folders.without_outside)
    splits = {
        split: tuple(_changed(record, changes) for record in records)
        for split, records in listing.splits.items()
    }
    return replace(listing, splits=splits, notes=(*listing.notes, *folders.links()))


_NAME_REMEDY = "has a line break or a control character; rename it in the data"


def _changed(record: Record, changes: tuple[Callable[[Record], Record], ...]) -> Record:
    for change in changes:
        record = change(record)
    return record


def _without_odd_names(record: Record) -> Record:
    objects = () if record.sample is None else record.sample.objects
    odd = dict.fromkeys(item.label for item in objects if not is_one_line(item.label))
    if record.sample is None or not odd:
        return record
    sample = replace(record.sample, objects=tuple(o for o in objects if o.label not in odd))
    problems = [
        Problem(record.annotation_path, "class_name", f"class {name!r} {_NAME_REMEDY}")
        for name in odd
    ]
    return replace(record, sample=sample, problems=(*record.problems, *problems))


class _Folders:
    """Tells which folders are within the data set."""

    def __init__(self, root: Path, reading: Reading) -> None:
        named = [root, *(root / part for part in (reading.images, reading.annotations) if part)]
        if root.name.lower() in ANNOTATION_FOLDERS:  # its pictures are beside it
            named.append(root.parent)
        self._roots = tuple(dict.fromkeys(f(path) for path in named for f in _SPELLINGS))
        self._known: dict[Path, bool] = {}
        self._linked: Counter[Path] = Counter()

    def without_outside(self, record: Record) -> Record:
        folder = record.image_path.parent
        if folder not in self._known:
            self._known[folder] = any(self._holds(f(folder)) for f in _SPELLINGS)
            if self._known[folder] and not self._holds(_real(folder)):
                self._linked[folder] = 0
        if folder in self._linked:
            self._linked[folder] += 1
        if self._known[folder]:
            return record
        reason = (
            f"is outside the data set {self._roots[0]}; give the file that names it (.yaml, .json) "
            "as the data set, or link its folder into the data set"
        )
        problem = Problem(record.image_path, "picture_outside", reason)
        return replace(record, sample=None, problems=(*record.problems, problem))

    def links(self) -> Iterator[Problem]:
        for folder, count in self._linked.items():
            reason = (
                f"is a link to {_real(folder)}, outside the data set; its {count} pictures are used"
            )
            yield Problem(folder, "link_outside", reason, "warning")

    def _holds(self, folder: str) -> bool:
        return any(f"{folder}/".startswith(f"{root.rstrip('/')}/") for root in self._roots)


def _real(folder: Path) -> str:
    return str(real_path(folder))


_SPELLINGS: tuple[Callable[[Path], str], ...] = (os.path.abspath, _real)
