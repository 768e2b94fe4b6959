"""YOLO: one .txt a picture, a line "class cx cy width height" an object, in shares of the picture.

Understood are a ``data.yaml`` with ``names`` and the splits (folders, lists of pictures, or
several of them), and, without one, a ``classes.txt`` beside pictures or labels. A picture in
``.../images/...`` has its labels in ``.../labels/...``, any other beside itself. A picture
without labels is background.

Source: "Object detection datasets overview: Ultralytics YOLO format"; a line with more than four
numbers is a polygon (the segmentation format) and gives its bounding box.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantdet.data.images import IMAGE_SUFFIXES, picture_size
from quantdet.data.labels import read_label_file
from quantdet.data.records import (
    UNSPLIT,
    FaultError,
    Listing,
    Problem,
    Record,
    fit_box,
    parse_number,
    read_text,
)
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.errors import DataError, DependencyError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import write_text

_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CLASS_LISTS = ("classes.txt", "labels/classes.txt", "obj.names")
_SPLITS = {"valid": "val", "validation": "val"}
# Keys of data.yaml that are no split.
_OTHER_KEYS = ("names", "nc", "path", "download", "roboflow", "kpt_shape", "flip_idx")


def is_yolo(root: Path) -> bool:
    """Return whether ``root`` is a YOLO data set, or the .yaml of one."""
    return _yaml_file(root) is not None or _class_list(root) is not None


def read_yolo(root: Path, progress: Tick = no_tick) -> Listing:
    """Read every split of a YOLO data set.

    Args:
        root: folder with data.yaml or classes.txt, or the .yaml file.
        progress: called with (pictures done, all pictures).

    Raises:
        DataError: no YOLO data, or data.yaml is not usable; the message names file and field.
    """
    file = _yaml_file(root)
    labels, pictures = _from_yaml(file) if file is not None else _from_class_list(root)
    total = sum(len(paths) for paths in pictures.values())
    # One picture may be in several splits; it is read once.
    known: dict[Path, Record] = {}
    splits, done = {}, 0
    for split, paths in pictures.items():
        folder = _common_folder(paths)
        records = []
        for path in paths:
            if path not in known:
                known[path] = _record(path, folder, labels)
            records.append(known[path])
            done += 1
            progress(done, total)
        splits[split] = tuple(records)
    folder = root if root.is_dir() else root.parent
    return Listing(folder, splits, labels, tuple(_lone_labels(known)))


def write_yolo(folder: Path, labels: Sequence[str], splits: Mapping[str, Sequence[Sample]]) -> int:
    """Write data.yaml, labels/NAME.txt and SPLIT.txt; a ``Writer``.

    The format cannot mark difficult objects: they are left out, as is usual for VOC.
    """
    yaml = _load_yaml()
    left_out = 0
    for samples in splits.values():
        for sample in samples:
            lines = [_line(item, sample, labels) for item in sample.objects if not item.difficult]
            target = _label_path(sample.image_path)
            if not target.is_file():
                left_out += len(sample.objects) - len(lines)
                write_text(target, "".join(lines))
    for split, samples in splits.items():
        names = (sample.image_path.relative_to(folder).as_posix() for sample in samples)
        write_text(folder / f"{split}.txt", "".join(f"./{name}\n" for name in names))
    content = {split: f"{split}.txt" for split in splits} | {"names": dict(enumerate(labels))}
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    write_text(folder / "data.yaml", text)
    return left_out


def _line(item: ObjectAnnotation, sample: Sample, labels: Sequence[str]) -> str:
    x1, y1, x2, y2 = item.box_xyxy
    height, width = sample.size_hw
    values = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return f"{labels.index(item.label)} {' '.join(f'{value:.8g}' for value in values)}\n"


_Pictures = dict[str, list[Path]]


def _yaml_file(root: Path) -> Path | None:
    if root.is_file():
        return root if root.suffix in (".yaml", ".yml") else None
    return next((root / name for name in _YAML_NAMES if (root / name).is_file()), None)


def _class_list(root: Path) -> Path | None:
    return next((root / name for name in _CLASS_LISTS if (root / name).is_file()), None)


def _from_yaml(file: Path) -> tuple[tuple[str, ...], _Pictures]:
    content = _parse(file)
    labels = _names(file, content.get("names"))
    folder = file.parent
    if content.get("path"):
        # Often the name that a download gives the folder; then the file's own folder is meant.
        named = (folder / str(content["path"])).expanduser()
        folder = named if named.is_dir() else folder
    pictures = {}
    for key, value in content.items():
        if key in _OTHER_KEYS or not value:
            continue
        parts = value if isinstance(value, list) else [value]
        found = [path for part in parts for path in _pictures(file, folder, str(key), str(part))]
        pictures[_SPLITS.get(str(key), str(key))] = list(dict.fromkeys(found))
    if not pictures:
        raise DataError(f'{file}: names no split; add "train: images/train" and "val: images/val"')
    return labels, pictures


def _parse(file: Path) -> dict[str, Any]:
    yaml, text = _load_yaml(), read_text(file, "data.yaml")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        reason = getattr(error, "problem", None) or error
        raise DataError(f"{file}{line}: not valid YAML ({reason}); correct it") from None
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds no keys; expected names, train and val")
    return content


def _load_yaml() -> Any:
    """Return the module ``yaml``, which a device that only runs models does without."""
    try:
        import yaml
    except ImportError:
        raise DependencyError(
            'data.yaml of YOLO data needs PyYAML: pip install "quantdet[evaluate]"'
        ) from None
    return yaml


def _names(file: Path, names: Any) -> tuple[str, ...]:
    if isinstance(names, dict):
        if sorted(names) != [*range(len(names))]:
            raise DataError(f"{file}: names must be numbered 0, 1, 2, ... without gaps")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f'{file}: has no class names; add "names: [first, second]"')
    labels = tuple(str(name).strip() for name in names)
    twice = sorted({name for name in labels if labels.count(name) > 1})
    if twice:
        raise DataError(f"{file}: names has {', '.join(twice)} twice; give each class its own name")
    return labels


def _pictures(file: Path, folder: Path, split: str, value: str) -> list[Path]:
    target = folder / value
    if not target.exists() and value.startswith("../"):
        target = folder / value[3:]  # as Roboflow writes it
    if target.is_dir():
        return _in_folder(target)
    if target.suffix != ".txt" or not target.is_file():
        raise DataError(
            f"{file}: {split}: {value} is neither a folder nor a .txt list under {folder}; "
            "correct the path, or remove the line"
        )
    lines = (line.strip() for line in read_text(target, "list of pictures").splitlines())
    return [target.parent / line for line in lines if line]


def _in_folder(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def _from_class_list(root: Path) -> tuple[tuple[str, ...], _Pictures]:
    file = _class_list(root)
    if file is None:
        raise DataError(
            f"{root}: no YOLO data here; expected data.yaml with names, train and val, or "
            "classes.txt beside pictures and labels"
        )
    folder = root / "images" if (root / "images").is_dir() else root
    parts = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name != "labels"]
    splits = {_SPLITS.get(path.name, path.name): _in_folder(path) for path in parts}
    splits = {name: paths for name, paths in splits.items() if paths}
    return read_label_file(file), splits or {UNSPLIT: _in_folder(folder)}


def _common_folder(paths: Sequence[Path]) -> Path:
    """Return the deepest folder that holds all pictures of a split."""
    parents = list(dict.fromkeys(path.parent for path in paths))
    if not parents:
        return Path()
    folder = parents[0]
    while not all(parent.is_relative_to(folder) for parent in parents):
        folder = folder.parent
    return folder


def _label_path(picture: Path) -> Path:
    parts = picture.parts
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        parts = (*parts[:last], "labels", *parts[last + 1 :])
    return Path(*parts).with_suffix(".txt")


def _record(picture: Path, folder: Path, labels: tuple[str, ...]) -> Record:
    image_id = picture.relative_to(folder).with_suffix("").as_posix()
    annotation = _label_path(picture)
    problems: list[Problem] = []
    sample = None
    if not picture.is_file():
        problems.append(Problem(picture, "missing_picture", "picture not found, but listed"))
    else:
        try:
            size = picture_size(picture)
        except DataError as error:
            reason = str(error).removeprefix(f"{picture}: ")
            problems.append(Problem(picture, "broken_picture", reason))
        else:
            objects = tuple(_objects(annotation, size, labels, problems))
            sample = Sample(image_id, picture, size, objects)
    return Record(image_id, picture, annotation, sample, tuple(problems), False)


def _objects(
    file: Path, size_hw: tuple[int, int], labels: tuple[str, ...], problems: list[Problem]
) -> Iterator[ObjectAnnotation]:
    if not file.is_file():
        return
    try:
        lines = read_text(file, "labels").splitlines()
    except DataError as error:
        problems.append(Problem(file, "broken_annotation", str(error).removeprefix(f"{file}: ")))
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _object(line.split(), size_hw, labels)
        except FaultError as fault:
            code, reason = fault.args
            problems.append(Problem(file, code, f"line {number}: {reason}"))


def _object(
    words: list[str], size_hw: tuple[int, int], labels: tuple[str, ...]
) -> ObjectAnnotation:
    label = _label(words[0], labels)
    values = [_share(word) for word in words[1:]]
    if len(values) == 4:
        cx, cy, width, height = values
        corners = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        xs, ys = values[0::2], values[1::2]
        corners = (min(xs), min(ys), max(xs), max(ys))
    else:
        raise FaultError(
            "broken_annotation",
            f"has {len(values)} numbers behind the class; expected cx cy width height",
        )
    height_px, width_px = size_hw
    box = tuple(
        share * side
        for share, side in zip(corners, (width_px, height_px, width_px, height_px), strict=True)
    )
    fitted, code, reason = fit_box((box[0], box[1], box[2], box[3]), size_hw)
    if fitted is None:
        raise FaultError(code, f"{label}: {reason}")
    return ObjectAnnotation(label, fitted)


def _label(word: str, labels: tuple[str, ...]) -> str:
    try:
        number = int(word)
    except ValueError:
        raise FaultError("broken_annotation", f"class is not a number: {word!r}") from None
    if not 0 <= number < len(labels):
        raise FaultError(
            "unknown_class",
            f"class {number} is out of range; names has {len(labels)} classes "
            f"(0 to {len(labels) - 1})",
        )
    return labels[number]


def _share(word: str) -> float:
    value = parse_number(word, "")
    if not -1.0 <= value <= 2.0:
        raise FaultError(
            "box_outside", f"{word} is no share of the picture; coordinates must be from 0 to 1"
        )
    return value


def _lone_labels(pictures: Iterable[Path]) -> Iterator[Problem]:
    """Yield a problem for each label file beside those read that nobody knows a picture of."""
    listed = list(pictures)
    for folder in dict.fromkeys(picture.parent for picture in listed):
        stems = {path.stem for path in (*listed, *_in_folder(folder))} | {"classes"}
        for file in sorted(_label_path(folder / "any").parent.glob("*.txt")):
            if file.stem not in stems and _has_objects(file):
                yield Problem(file, "missing_picture", "there is no picture for these labels")


def _has_objects(file: Path) -> bool:
    try:
        first = file.read_text("utf-8-sig").split(maxsplit=1)
    except (OSError, UnicodeDecodeError):
        return False
    return bool(first) and first[0].isdigit()
