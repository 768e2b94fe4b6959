"""COCO JSON: one file a split, with images, annotations and categories.

Understood are ``annotations/instances_train2017.json`` with pictures in ``train2017`` or in
``images``, a folder with a JSON file for each split (``_annotations.coco.json`` of Roboflow,
``labels.json`` of MediaPipe), and one JSON file with its pictures wherever they are below the data
set. What hand-made and merged files have is taken, too: numbers as text, backslashes, polygons
without boxes, one picture in several entries.

Source: "COCO data format", section 1 (object detection), of the COCO project.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantdet.data.formats.coco_files import (
    find_files,
    index_pictures,
    json_files,
    looks_like_coco,
    picture_folders,
)
from quantdet.data.formats.folders import (
    FileIndex,
    clean_name,
    is_file,
    place_of,
    read_tree,
)
from quantdet.data.images import picture_size
from quantdet.data.records import (
    ROTATED,
    SEARCHED,
    Box,
    FaultError,
    Listing,
    Problem,
    Reading,
    Record,
    decode_json,
    fit_box,
    parse_flag,
    read_text,
    with_notes,
)
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import write_text

# An object with one of these marks counts neither as found nor as missed.
_IGNORED = ("iscrowd", "ignore", "difficult")


def is_coco(root: Path) -> bool:
    """Return whether ``root`` is a COCO data set, or the JSON file of one."""
    if is_file(root):
        return looks_like_coco(root)
    return root.is_dir() and any(json_files(read_tree(root)))


def read_coco(root: Path, progress: Tick = no_tick, reading: Reading = SEARCHED) -> Listing:
    """Read every split of a COCO data set.

    Crowds (``iscrowd``) become difficult objects: they count neither as found nor as missed.
    Categories that no annotation uses are kept, but for the heading that Roboflow adds, and one
    called background.

    Args:
        root: one of the layouts above, or the JSON file.
        progress: called with (pictures done, all pictures).
        reading: where pictures and the JSON file are, if they cannot be found; class names for a
            file without categories.

    Raises:
        DataError: no COCO data, or a file is no such JSON; the message names file and field.
    """
    place = root / (reading.annotations or "")
    files, notes = find_files(place)
    pictures = index_pictures(root, place, reading)
    parsed = {split: _SplitFile(path, split, pictures, reading) for split, path in files.items()}
    total = sum(len(file.images) for file in parsed.values())
    splits: dict[str, tuple[Record, ...]] = {}
    done = 0
    found = {split: {path for _, path in file.found} for split, file in parsed.items()}
    for split, file in parsed.items():
        records = []
        for record in file.records(found):
            records.append(record)
            done += 1
            progress(done, total)
        splits[split] = tuple(records)
    problems = [problem for file in parsed.values() for problem in file.stray_annotations()]
    notes += [note for file in parsed.values() for note in file.notes]
    folder = root if root.is_dir() else root.parent
    labels = _labels(parsed.values())
    return with_notes(Listing(folder, splits, labels, tuple(problems), tuple(notes)))


def write_coco(folder: Path, labels: Sequence[str], splits: Mapping[str, Sequence[Sample]]) -> int:
    """Write annotations/instances_SPLIT.json; a ``Writer``.

    Difficult objects are written as crowds; what COCO has no key for (truncated, pose) is
    written as a key of its own, which :func:`read_coco` understands.
    """
    categories = [{"id": number, "name": name} for number, name in enumerate(labels, start=1)]
    ids = {name: number for number, name in enumerate(labels, start=1)}
    for split, samples in splits.items():
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, sample in enumerate(samples, start=1):
            height, width = sample.size_hw
            name = sample.image_path.name
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            for item in sample.objects:
                annotation = _annotation(item, ids[item.label])
                annotations.append({"id": len(annotations) + 1, "image_id": number} | annotation)
        content: dict[str, Any] = {"images": images, "categories": categories}
        if any(sample.annotated for sample in samples):
            content["annotations"] = annotations
        text = json.dumps(content, ensure_ascii=False)
        write_text(folder / "annotations" / f"instances_{split}.json", text)
    return 0


def _annotation(item: ObjectAnnotation, category: int) -> dict[str, Any]:
    x1, y1, x2, y2 = item.box_xyxy
    found: dict[str, Any] = {
        "category_id": category,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": int(item.difficult),
    }
    if item.truncated:
        found["truncated"] = 1
    if item.pose:
        found["pose"] = item.pose
    return found


@dataclass(frozen=True)
class _Entry:
    """One item of "images"."""

    number: str
    file_name: str
    size_hw: tuple[int, int] | None


class _SplitFile:
    """One parsed JSON file."""

    def __init__(self, path: Path, split: str, pictures: FileIndex, reading: Reading) -> None:
        self.path = path
        self.notes: list[Problem] = []
        self._split = split
        self._clip = reading.clip
        self._pictures = pictures
        self._folders = [pictures.root] if reading.images else picture_folders(path, split)
        content = _parse(path)
        self.images = [_entry(path, item, n) for n, item in enumerate(content["images"])]
        self.annotated = "annotations" in content
        self.annotations: dict[str, list[Mapping[str, Any]]] = {}
        for number, item in enumerate(content.get("annotations", [])):
            image = _key(_need(path, item, "image_id", f"annotations[{number}]"))
            self.annotations.setdefault(image, []).append(item)
        self.categories = self._categories(content.get("categories"), reading.names)
        self.names = {_key(number): name for number, name, _ in self.categories}
        self.notes += _shared_names(path, self.names)
        self._guessed: set[Path] = set()
        self.found = [(image, self._find(image.file_name)) for image in self.images]

    def _categories(self, found: Any, names: Sequence[str]) -> list[tuple[Any, str, bool]]:
        """Return number and name of each, and whether it may be a mere heading."""
        if found is not None:
            return _named_categories(self.path, found)
        items = (item for items in self.annotations.values() for item in items)
        numbers = {n for item in items if type(n := item.get("category_id")) is int}
        reason = (
            f'has no "categories"; the {len(numbers)} are named by --labels, otherwise class_ID'
        )
        self.notes.append(Problem(self.path, "class_names_guessed", reason, "warning"))
        guessed = [*names[: len(numbers)], *(f"class_{n}" for n in sorted(numbers)[len(names) :])]
        return [(n, name, False) for n, name in zip(sorted(numbers), guessed, strict=True)]

    def stray_annotations(self) -> Iterator[Problem]:
        """Yield the faults of annotations that belong to no picture of the file."""
        known = {image.number for image in self.images}
        for image, items in self.annotations.items():
            if image not in known:
                shown = items[0].get("image_id")
                more = f" ({len(items)} annotations)" if len(items) > 1 else ""
                reason = f'{_name(items[0])}: image_id {shown!r} is not in "images"{more}'
                yield Problem(self.path, "unknown_picture", reason)

    def records(self, pictures: Mapping[str, set[Path]]) -> Iterator[Record]:
        """Yield a record of each picture, which may have several entries.

        Args:
            pictures: split → those found for it. One that is in the folder of another split, and
                found for that, too, is not the one that is missing here.
        """
        entries: dict[Path, list[_Entry]] = {}
        users: dict[str, set[Path]] = {}
        for image, found in self.found:
            other = self._split_of_guess(found)
            path = found
            if other != self._split and found in pictures.get(other, ()):
                path = self._folders[0] / clean_name(image.file_name)
            entries.setdefault(path, []).append(image)
            users.setdefault(image.number, set()).add(path)
        shared = {number for number, paths in users.items() if len(paths) > 1}
        for path, images in entries.items():
            yield self._record(path, images, shared)

    def _split_of_guess(self, path: Path) -> str:
        """Return the split whose folder a picture is in that was found by its name alone."""
        if path not in self._guessed:
            return self._split
        return place_of(path.relative_to(self._pictures.root).as_posix()).split

    def _find(self, file_name: str) -> Path:
        """Return the path of a picture, the likeliest one if there is none."""
        name = clean_name(file_name)
        for position, folder in enumerate(self._folders):
            path = folder / name
            if is_file(path):
                # Where one picture is, the next is likely to be.
                self._folders.insert(0, self._folders.pop(position))
                return path
        found = self._pictures.find(name, self._split) or self._pictures.find_stem(name)
        if found is None:
            return self._folders[0] / name
        self._guessed.add(self._pictures.root / found)
        return self._pictures.root / found

    def _record(self, path: Path, images: Sequence[_Entry], shared: set[str]) -> Record:
        problems: list[Problem] = []
        if not is_file(path):
            problems.append(Problem(path, "missing_picture", "picture not found, but listed"))
        twice = sorted({image.number for image in images} & shared)
        if twice:
            reason = f'image id {twice[0]!r} belongs to several pictures in "images"'
            problems.append(Problem(self.path, "duplicate_image_id", f"{path.name}: {reason}"))
        if len(images) > 1:
            reason = f'{path.name} is {len(images)} times in "images"; all its objects are used'
            self.notes.append(Problem(self.path, "duplicate_image", reason, "warning"))
        size = next((image.size_hw for image in images if image.size_hw), None)
        noted = size is not None
        size = size or _size(path, problems)
        image_id = _image_id(images[0].file_name)
        sample = None
        if size is not None and not twice:
            numbers = dict.fromkeys(image.number for image in images)
            items = [item for number in numbers for item in self.annotations.get(number, ())]
            objects = tuple(self._objects(items, size, problems))
            sample = Sample(image_id, path, size, objects, annotated=self.annotated)
        return Record(image_id, path, self.path, sample, tuple(problems), noted)

    def _objects(
        self,
        items: Iterable[Mapping[str, Any]],
        size_hw: tuple[int, int],
        problems: list[Problem],
    ) -> Iterator[ObjectAnnotation]:
        for item in items:
            label = self.names.get(_key(item.get("category_id")))
            try:
                found, remark = self._object(item, label, size_hw)
            except FaultError as fault:
                code, reason = fault.args
                problems.append(Problem(self.path, code, f"{_name(item, label)}: {reason}"))
                continue
            if remark:
                note = f"{_name(item, label)}: {remark}"
                problems.append(Problem(self.path, "box_cut", note, "warning"))
            yield found

    def _object(
        self, item: Mapping[str, Any], label: str | None, size_hw: tuple[int, int]
    ) -> tuple[ObjectAnnotation, str]:
        if label is None:
            reason = f'category_id {item.get("category_id")!r} is not in "categories"'
            raise FaultError("unknown_class", reason)
        attributes = item.get("attributes")  # of CVAT and Datumaro
        if isinstance(attributes, dict) and parse_flag(attributes.get("rotation"), "rotation is "):
            raise FaultError("rotated_box", ROTATED)
        box, remark = fit_box(_box(item), size_hw, clip=self._clip)
        found = ObjectAnnotation(
            label,
            box,
            difficult=any(parse_flag(item.get(key), f"{key} is ") for key in _IGNORED),
            truncated=parse_flag(item.get("truncated"), "truncated is "),
            pose=str(item.get("pose", "")),
        )
        return found, remark


def _box(item: Mapping[str, Any]) -> Box:
    box = item.get("bbox")
    if not box:
        box = _around(item.get("segmentation"))
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        reason = f"bbox is not [x, y, width, height]: {item.get('bbox')!r}"
        raise FaultError("broken_annotation", reason)
    x, y, width, height = (float(value) for value in box)
    if width <= 0 or height <= 0:
        raise FaultError("empty_box", f"bbox {box} has no area")
    return (x, y, x + width, y + height)


def _around(polygons: Any) -> list[float] | None:
    """Return the bbox of polygons [[x, y, x, y, ...], ...]."""
    parts = polygons if isinstance(polygons, list) else []
    flat: list[Any] = [v for part in parts for v in (part if isinstance(part, list) else [None])]
    # Three corners are the least of a polygon.
    if len(flat) < 6 or len(flat) % 2 or not all(map(_is_number, flat)):
        return None
    xs, ys = flat[0::2], flat[1::2]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def _name(item: Mapping[str, Any], label: str | None = None) -> str:
    return f"annotation id {item.get('id', '?')}" + (f" ({label})" if label else "")


def _key(number: Any) -> str:
    """Return an id as text: merged files have 1 here and "1" there."""
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return str(number).strip()


def _entry(path: Path, item: Any, position: int) -> _Entry:
    where = f"images[{position}]"
    number = _key(_need(path, item, "id", where))
    name = str(_need(path, item, "file_name", where))
    sides = [item.get("height"), item.get("width")]
    numbers = [round(float(side)) for side in sides if _is_number(side) and side > 0]
    size = (numbers[0], numbers[1]) if len(numbers) == 2 and min(numbers) > 0 else None
    return _Entry(number, name, size)


def _image_id(file_name: str) -> str:
    name = clean_name(file_name)
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        name = name.rpartition("/")[2]
    return place_of(name).key


def _size(path: Path, problems: list[Problem]) -> tuple[int, int] | None:
    if any(problem.code == "missing_picture" for problem in problems):
        return None
    try:
        return picture_size(path)
    except DataError as error:
        reason = str(error).removeprefix(f"{path}: ")
        problems.append(Problem(path, "broken_picture", reason))
        return None


def _parse(path: Path) -> dict[str, Any]:
    text = read_text(path, "COCO annotations")
    content = decode_json(path, text)
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no JSON object; expected images, annotations, categories")
    # Without annotations it is a split to predict on.
    content = {key: value for key, value in content.items() if value is not None}
    for key, missing in (("images", None), ("categories", []), ("annotations", [])):
        if not isinstance(content.get(key, missing), list):
            raise DataError(f'{path}: has no list "{key}", which COCO JSON needs; export it again')
    return content


def _named_categories(path: Path, items: Sequence[Any]) -> list[tuple[Any, str, bool]]:
    found: dict[str, tuple[Any, str, bool]] = {}
    for item in items:
        number = _need(path, item, "id", "categories")
        name = str(_need(path, item, "name", f"category {number}")).strip()
        # Roboflow's heading of all classes, and what Model Maker and LabelMe call nothing at all.
        none = item.get("supercategory") == "none" or name.strip("_").lower() == "background"
        known = found.setdefault(_key(number), (number, name, none))
        if known[1] != name:
            raise DataError(
                f"{path}: category id {number} is both {known[1]!r} and {name!r}; give each "
                "category its own id"
            )
    return list(found.values())


def _shared_names(path: Path, names: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the names that several categories have: they are one class."""
    numbers: dict[str, list[str]] = {}
    for number, name in names.items():
        numbers.setdefault(name, []).append(number)
    for name, shared in numbers.items():
        if len(shared) > 1:
            reason = f"categories {', '.join(shared)} are all called {name!r} and are one class"
            yield Problem(path, "duplicate_category", reason, "warning")


def _need(path: Path, item: Any, key: str, where: str) -> Any:
    value = item.get(key) if isinstance(item, dict) else None
    if value is None or isinstance(value, list | dict) or not str(value).strip():
        raise DataError(f'{path}: {where} has no "{key}"; correct it or export the file again')
    return value


def _labels(files: Iterable[_SplitFile]) -> tuple[str, ...]:
    used: Counter[Any] = Counter()
    found: dict[str, bool] = {}
    for file in files:
        for items in file.annotations.values():
            used.update(file.names.get(_key(item.get("category_id"))) for item in items)
        # Numbers may be text in hand-made files; they keep the order of the file then.
        numbers = all(isinstance(number, int) for number, _, _ in file.categories)
        ordered = sorted(file.categories) if numbers else file.categories
        for _, name, heading in ordered:
            found[name] = found.get(name, True) and heading
    return tuple(name for name, heading in found.items() if used[name] or not heading)
