"""Exports in which one file of a labelling tool's own kind holds the boxes of many pictures.

How each of them is told and parsed is in ``tool_json.py`` and ``tool_tables.py``; here their
pictures are found and their boxes checked. Splits are those that the file or the folders name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from quantdet.data.formats.folders import (
    FileIndex,
    Place,
    clean_name,
    common_prefix,
    is_file,
    may_belong,
    place_of,
    read_tree,
    settle_loose,
    split_name,
    split_of_annotations,
)
from quantdet.data.formats.lists import split_lists, unused_lists
from quantdet.data.formats.tool_entries import Entry, Region
from quantdet.data.formats.tool_json import parse_json
from quantdet.data.formats.tool_tables import parse_csv, parse_cvat
from quantdet.data.images import picture_size
from quantdet.data.records import (
    SEARCHED,
    UNSPLIT,
    FaultError,
    Listing,
    Problem,
    Reading,
    Record,
    fit_box,
    with_notes,
)
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick

_PARSERS = {
    ".json": parse_json,
    ".labels": parse_json,
    ".csv": parse_csv,
    ".xml": parse_cvat,
}


def is_tool_export(root: Path) -> bool:
    """Return whether ``root`` is the export of a tool, or its file."""
    if is_file(root):
        return bool(_parse(root, []))
    if not root.is_dir():
        return False
    tree = read_tree(root)
    files = (root / file for file in tree.with_suffix(*_PARSERS))
    return bool(tree.pictures) and any(_parse(file, []) for file in files)


def read_tool_export(root: Path, progress: Tick = no_tick, reading: Reading = SEARCHED) -> Listing:
    """Read every split of a tool's export.

    Args:
        root: its folder, or the file with the boxes.
        progress: called with (pictures done, all pictures).
        reading: where pictures and the file are, if they cannot be found.

    Raises:
        DataError: no such export.
    """
    problems: list[Problem] = []
    place = root / (reading.annotations or "")
    found = _all_entries(place, problems)
    if not found:
        raise DataError(f"{place}: no export of a known tool here; export VOC, COCO or YOLO")
    folder = root if root.is_dir() else root.parent
    images = read_tree(folder / (reading.images or ""))
    reader = _Reader(FileIndex(images.root, images.pictures), reading)
    total = len(found)
    for number, item in enumerate(found, start=1):
        reader.add(*item)
        progress(number, total)
    splits, loose = settle_loose(reader.splits(), folder)
    lists = split_lists(read_tree(folder), reader.index)
    unused = unused_lists(lists, (), "the export says what is used")
    notes = (*loose, *reader.notes, *reader.unused(), *unused)
    listed = {name: tuple(records) for name, records in splits.items()}
    return with_notes(Listing(folder, listed, problems=tuple(problems), notes=notes))


def _all_entries(place: Path, problems: list[Problem]) -> list[tuple[Path, str, Entry]]:
    """Return (file, split, entry) of all files; those of one picture may be in several."""
    if place.is_file():
        return [(place, "", entry) for entry in _parse(place, problems)]
    tree = read_tree(place)
    found = []
    for name in tree.with_suffix(*_PARSERS):
        entries = _parse(place / name, problems)
        split = split_of_annotations(name) or ""
        found += [(place / name, split, entry) for entry in entries]
    return found


def _parse(file: Path, problems: list[Problem]) -> list[Entry]:
    """Return what a file holds; nothing if it is of no known kind or not readable."""
    try:
        return list(_PARSERS[file.suffix.lower()](file)) if file.suffix.lower() in _PARSERS else []
    except DataError as error:
        reason = str(error).removeprefix(f"{file}: ")
        problems.append(Problem(file, "broken_annotation", reason))
        return []


@dataclass
class _Found:
    """All that is known of one picture."""

    file: Path
    split: str
    entry: Entry
    regions: list[Region] = field(default_factory=list)


class _Reader:
    """Joins the entries of a picture, and makes a record of each."""

    def __init__(self, index: FileIndex, reading: Reading) -> None:
        self.index = index
        self._reading = reading
        self._pictures: dict[Path, _Found] = {}
        self.notes: list[Problem] = []

    def add(self, file: Path, split: str, entry: Entry) -> None:
        split = split_name(entry.split) or split
        name = self._name(file, split, entry)
        path = file.parent / clean_name(entry.name) if name is None else self.index.root / name
        known = self._pictures.setdefault(path, _Found(file, split, entry))
        known.regions += entry.regions
        if entry.note:
            note = f"{path.name}: {entry.note}"
            self.notes.append(Problem(file, "several_annotations", note, "warning"))
        if split and known.split and split != known.split:
            note = f"{path.name} is of split {known.split!r} in {known.file.name}; that counts"
            self.notes.append(Problem(file, "several_splits", note, "warning"))
        known.split = known.split or split

    def _name(self, file: Path, split: str, entry: Entry) -> str | None:
        """Return the picture of an entry, unless it is one of that name somewhere else."""
        name = self.index.find_from(file.parent, entry.name)
        if name is not None:
            return name
        name = self.index.find(entry.name, split) or self.index.find_stem(entry.name, split)
        if name is None and entry.own_file:
            name = self.index.find(PurePosixPath(clean_name(entry.name)).name, split)
        if name is None or not Place(self._place(file).split, "").may_share(place_of(name)):
            return None  # the picture of that name in the folder of another split
        inside = file.is_relative_to(self.index.root)
        relative = file.relative_to(self.index.root).as_posix() if inside else file.name
        return name if not entry.own_file or may_belong(relative, name) else None

    def splits(self) -> dict[str, list[Record]]:
        """Return split → records."""
        splits: dict[str, list[Record]] = {}
        places = {path: self._place(path) for path in self._pictures}
        prefix = common_prefix(place.key for place in places.values())
        for path, found in self._pictures.items():
            place = places[path]
            record = self._record(path, place.key.removeprefix(prefix), found)
            splits.setdefault(found.split or place.split or UNSPLIT, []).append(record)
        return splits

    def unused(self) -> Iterator[Problem]:
        """Yield a note on the pictures that no file names."""
        known = {str(path) for path in self._pictures}
        left = [f for f in self.index.files if str(self.index.root / f) not in known]
        if left:
            reason = f"{len(left)} pictures have no annotation and are not used, e.g. {left[0]}"
            yield Problem(self.index.root, "picture_not_annotated", reason, "warning")

    def _place(self, path: Path) -> Place:
        inside = path.is_relative_to(self.index.root)
        return place_of(path.relative_to(self.index.root).as_posix() if inside else path.name)

    def _record(self, path: Path, image_id: str, found: _Found) -> Record:
        problems: list[Problem] = []
        if not is_file(path):
            problems.append(Problem(path, "missing_picture", "picture not found, but annotated"))
        size = found.entry.size_hw
        noted = size is not None
        if size is None and not problems:
            try:
                size = picture_size(path)
            except DataError as error:
                reason = str(error).removeprefix(f"{path}: ")
                problems.append(Problem(path, "broken_picture", reason))
        sample = None
        if size is not None:
            objects = tuple(self._objects(path, found, size, problems))
            sample = Sample(image_id, path, size, objects)
        return Record(image_id, path, found.file, sample, tuple(problems), noted)

    def _objects(
        self, path: Path, found: _Found, size_hw: tuple[int, int], problems: list[Problem]
    ) -> Iterator[ObjectAnnotation]:
        for number, region in enumerate(found.regions, start=1):
            where = f"{path.name}, object {number} ({region.label or 'without class'})"
            try:
                box, remark = self._box(region, size_hw)
            except FaultError as fault:
                code, reason = fault.args
                problems.append(Problem(found.file, code, f"{where}: {reason}"))
                continue
            if remark:
                problems.append(Problem(found.file, "box_cut", f"{where}: {remark}", "warning"))
            yield ObjectAnnotation(region.label, box, difficult=region.difficult)

    def _box(
        self, region: Region, size_hw: tuple[int, int]
    ) -> tuple[tuple[float, float, float, float], str]:
        if region.fault:
            raise FaultError("broken_annotation", region.fault)
        if not region.label:
            raise FaultError("broken_annotation", "has no class")
        height, width = size_hw if region.shares else (1, 1)
        x1, y1, x2, y2 = region.box_xyxy
        box = (x1 * width, y1 * height, x2 * width, y2 * height)
        return fit_box(box, size_hw, clip=self._reading.clip)
