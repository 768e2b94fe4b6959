"""COCO JSON: one file a split, with images, annotations and categories.

Understood are ``annotations/instances_train2017.json`` with pictures in ``train2017`` or in
``images``, a folder with ``_annotations.coco.json`` for each split (as Roboflow exports), and one
JSON file beside its pictures.

Source: "COCO data format", section 1 (object detection), of the COCO project.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from quantdet.data.images import picture_size
from quantdet.data.records import UNSPLIT, Listing, Problem, Record, fit_box, read_text
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import write_text

_ROBOFLOW = "_annotations.coco.json"
# Files of the official download that hold other tasks.
_OTHER_TASKS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
_SPLITS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


def is_coco(root: Path) -> bool:
    """Return whether ``root`` is a COCO data set, or the JSON file of one."""
    return bool(_files(root))


def read_coco(root: Path, progress: Tick = no_tick) -> Listing:
    """Read every split of a COCO data set.

    Crowds (``iscrowd``) become difficult objects: they count neither as found nor as missed.
    Categories that no annotation uses are kept, but for the heading category that Roboflow adds.

    Args:
        root: one of the layouts above, or the JSON file.
        progress: called with (pictures done, all pictures).

    Raises:
        DataError: no COCO data, or a file is no such JSON; the message names file and field.
    """
    files = _files(root)
    if not files:
        raise DataError(
            f"{root}: no COCO data here; expected annotations/instances_train.json, or a .json "
            'file with "images", "annotations" and "categories" beside the pictures'
        )
    parsed = {split: _SplitFile(path, split) for split, path in files.items()}
    total = sum(len(file.images) for file in parsed.values())
    problems = [problem for file in parsed.values() for problem in file.stray_annotations()]
    splits, done = {}, 0
    for split, file in parsed.items():
        records = []
        for record in file.records():
            records.append(record)
            done += 1
            progress(done, total)
        splits[split] = tuple(records)
    folder = root if root.is_dir() else root.parent
    return Listing(folder, splits, _labels(parsed.values()), tuple(problems))


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


class _SplitFile:
    """One parsed JSON file."""

    def __init__(self, path: Path, split: str) -> None:
        self.path = path
        content = _parse(path)
        self.images = [_Image(self, item, n) for n, item in enumerate(content["images"])]
        self.categories = [_category(path, item) for item in content["categories"]]
        self.names = {number: name for number, name, _ in self.categories}
        self.annotated = "annotations" in content
        self._folders = _picture_folders(path, split)
        self.annotations: dict[Any, list[Mapping[str, Any]]] = {}
        for number, item in enumerate(content.get("annotations", [])):
            image = _need(path, item, "image_id", f"annotations[{number}]")
            self.annotations.setdefault(image, []).append(item)

    def stray_annotations(self) -> Iterator[Problem]:
        """Yield the faults of annotations that belong to no picture of the file."""
        known = {image.number for image in self.images}
        for image, items in self.annotations.items():
            if image not in known:
                reason = f'{_name(items[0])}: image_id {image!r} is not in "images"'
                yield Problem(self.path, "unknown_picture", reason)

    def records(self) -> Iterator[Record]:
        for image in self.images:
            yield image.record()

    def find(self, file_name: str) -> Path:
        """Return the path of a picture, the likeliest one if there is none."""
        for position, folder in enumerate(self._folders):
            path = folder / file_name
            if path.is_file():
                # Where one picture is, the next is likely to be.
                self._folders.insert(0, self._folders.pop(position))
                return path
        return self._folders[0] / file_name


class _Image:
    """One item of "images"."""

    def __init__(self, file: _SplitFile, item: Any, position: int) -> None:
        where = f"images[{position}]"
        self._file = file
        self.number = _need(file.path, item, "id", where)
        self.file_name = str(_need(file.path, item, "file_name", where))
        self._size = (item.get("height"), item.get("width"))

    def record(self) -> Record:
        problems: list[Problem] = []
        path = self._file.find(self.file_name)
        if not path.is_file():
            problems.append(Problem(path, "missing_picture", "picture not found, but listed"))
        size, noted = self._size_hw(path, problems)
        sample = None
        image_id = str(PurePosixPath(self.file_name).with_suffix(""))
        if size is not None:
            items = self._file.annotations.get(self.number, [])
            objects = tuple(_objects(self._file, items, size, problems))
            sample = Sample(image_id, path, size, objects, annotated=self._file.annotated)
        return Record(image_id, path, self._file.path, sample, tuple(problems), noted)

    def _size_hw(self, path: Path, problems: list[Problem]) -> tuple[tuple[int, int] | None, bool]:
        """Return (height, width), and whether the JSON file names it."""
        height, width = self._size
        if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0:
            return (height, width), True
        if problems:
            return None, False
        try:
            return picture_size(path), False
        except DataError as error:
            reason = str(error).removeprefix(f"{path}: ")
            problems.append(Problem(path, "broken_picture", reason))
            return None, False


def _objects(
    file: _SplitFile,
    items: Sequence[Mapping[str, Any]],
    size_hw: tuple[int, int],
    problems: list[Problem],
) -> Iterator[ObjectAnnotation]:
    for item in items:
        label = file.names.get(item.get("category_id"))
        box, code, reason = _box(item, size_hw)
        if label is None:
            code = "unknown_class"
            reason = f'category_id {item.get("category_id")!r} is not in "categories"'
        if label is None or box is None:
            problems.append(Problem(file.path, code, f"{_name(item, label)}: {reason}"))
            continue
        yield ObjectAnnotation(
            label,
            box,
            difficult=bool(item.get("iscrowd", 0)),
            truncated=bool(item.get("truncated", 0)),
            pose=str(item.get("pose", "")),
        )


def _box(
    item: Mapping[str, Any], size_hw: tuple[int, int]
) -> tuple[tuple[float, float, float, float] | None, str, str]:
    box: Any = item.get("bbox")
    numbers = isinstance(box, list) and len(box) == 4
    if not numbers or not all(isinstance(v, int | float) and math.isfinite(v) for v in box):
        return None, "broken_annotation", f"bbox is not [x, y, width, height]: {box!r}"
    x, y, width, height = (float(v) for v in box)
    if width <= 0 or height <= 0:
        return None, "empty_box", f"bbox {box} has no area"
    return fit_box((x, y, x + width, y + height), size_hw)


def _name(item: Mapping[str, Any], label: str | None = None) -> str:
    return f"annotation id {item.get('id', '?')}" + (f" ({label})" if label else "")


def _files(root: Path) -> dict[str, Path]:
    """Return split → JSON file; empty if ``root`` is no COCO data set."""
    if root.is_file():
        return {UNSPLIT: root} if root.suffix.lower() == ".json" else {}
    exported = sorted(root.glob(f"*/{_ROBOFLOW}"))
    if exported:
        return {_split_name(path.parent.name): path for path in exported}
    for folder in (root / "annotations", root):
        found = sorted(path for path in folder.glob("*.json") if _looks_like_coco(path))
        if len(found) == 1 and _split_name(found[0].stem) not in ("train", "val", "test"):
            return {UNSPLIT: found[0]}
        if found:
            return {_split_name(path.stem): path for path in found}
    return {}


def _looks_like_coco(path: Path) -> bool:
    if path.name.startswith((".", *_OTHER_TASKS)):
        return False
    if path.name.startswith("instances_"):
        return True  # the official name; such files are large, and are read only once
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return False
    return '"images"' in text and '"categories"' in text


def _split_name(name: str) -> str:
    """instances_train2017 → train, valid → val."""
    name = re.sub(r"^(instances|annotations)_", "", name)
    name = re.sub(r"_?\d{4}$", "", name)
    return _SPLITS.get(name, name)


def _picture_folders(path: Path, split: str) -> list[Path]:
    stem = re.sub(r"^(instances|annotations)_", "", path.stem)
    roots = [path.parent.parent, path.parent] if path.parent.name == "annotations" else []
    folders = [] if roots else [path.parent]
    for root in roots or [path.parent]:
        for name in ("images", "JPEGImages", "."):
            folders += [root / name / stem, root / name / split, root / name]
    return folders


def _parse(path: Path) -> dict[str, Any]:
    text = read_text(path, "COCO annotations")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); export it again") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no JSON object; expected images, annotations, categories")
    # Without annotations it is a split to predict on.
    for key, missing in (("images", None), ("categories", None), ("annotations", [])):
        if not isinstance(content.get(key, missing), list):
            raise DataError(f'{path}: has no list "{key}", which COCO JSON needs; export it again')
    return content


def _category(path: Path, item: Any) -> tuple[Any, str, bool]:
    """Return number, name, and whether it may be a mere heading."""
    number = _need(path, item, "id", "categories")
    name = str(_need(path, item, "name", f"category {number}")).strip()
    return number, name, item.get("supercategory") == "none"


def _need(path: Path, item: Any, key: str, where: str) -> Any:
    value = item.get(key) if isinstance(item, dict) else None
    if value is None or isinstance(value, list | dict):
        raise DataError(f'{path}: {where} has no "{key}"; correct it or export the file again')
    return value


def _labels(files: Iterable[_SplitFile]) -> tuple[str, ...]:
    used: Counter[Any] = Counter()
    found: dict[str, bool] = {}
    for file in files:
        for items in file.annotations.values():
            used.update(file.names.get(item.get("category_id")) for item in items)
        # Numbers may be text in hand-made files; they keep the order of the file then.
        numbers = all(isinstance(number, int) for number, _, _ in file.categories)
        ordered = sorted(file.categories) if numbers else file.categories
        for _, name, heading in ordered:
            found[name] = found.get(name, True) and heading
    return tuple(name for name, heading in found.items() if used[name] or not heading)
