"""YOLO: one .txt a picture, a line "class cx cy width height" an object, in shares of the picture.

Understood are a .yaml with ``names`` and the splits (folders, lists of pictures, or several of
them), as Ultralytics has it; without one, darknet's ``obj.data`` and lists, or folders, with the
class names in ``obj.names``, ``classes.txt`` or nowhere. A picture in ``.../images/...`` has its
labels in ``.../labels/...``, any other beside itself, or wherever ``folders.py`` finds them. A
picture without labels is background, unless none of its split has any.

Source: "Object detection datasets overview: Ultralytics YOLO format"; a line with more than four
numbers is a polygon (the segmentation format) and gives its bounding box, or has key points
behind the box if the .yaml says so.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from quantdet.data.formats.folders import (
    FileIndex,
    Tree,
    find_masks,
    is_file,
    note_masks,
    pair_files,
    place_of,
    read_tree,
    real_path,
    settle_loose,
    split_name,
    split_of_stem,
)
from quantdet.data.formats.lists import split_lists, unused_lists
from quantdet.data.formats.yolo_labels import LabelReader, looks_like_labels
from quantdet.data.formats.yolo_yaml import (
    YoloSet,
    find_yaml,
    listed_pictures,
    load_yaml,
    pictures_in,
    read_yaml,
)
from quantdet.data.images import picture_size
from quantdet.data.labels import read_label_file
from quantdet.data.records import (
    SEARCHED,
    UNSPLIT,
    Listing,
    Problem,
    Reading,
    Record,
    read_text,
    with_notes,
)
from quantdet.data.sample import ObjectAnnotation, Sample
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import write_text

_CLASS_LISTS = (
    *("classes.txt", "class_names.txt", "labels.txt", "predefined_classes.txt"),
    *("obj.names", "_darknet.labels"),
)
# CVAT's name for the pictures of a task that has no splits.
_CVAT_FOLDER = "obj_train_data"
_LOOKED_AT = 20
# Of these somebody may have no labels: there is something to predict on.
_MAY_BE_UNLABELLED = ("test",)


def is_yolo(root: Path) -> bool:
    """Return whether ``root`` is a YOLO data set, or the .yaml of one."""
    if find_yaml(root) is not None:
        return True
    if not root.is_dir():
        return False
    tree = read_tree(root)
    if not tree.pictures:
        return False
    labels = pair_files(tree.pictures, tree.with_suffix(".txt")).annotation_of.values()
    looked_at = [root / file for file in labels][:_LOOKED_AT]
    return bool(_class_lists(tree)) or any(map(looks_like_labels, looked_at))


def read_yolo(root: Path, progress: Tick = no_tick, reading: Reading = SEARCHED) -> Listing:
    """Read every split of a YOLO data set.

    Args:
        root: folder of the data set, or its .yaml file.
        progress: called with (pictures done, all pictures).
        reading: where pictures and labels are, if they cannot be found; class names for data
            without a list of them.

    Raises:
        DataError: no YOLO data, the .yaml is not usable, or the boxes are oriented; the message
            names file and field.
    """
    found = _described(root, reading)
    labels = LabelReader(found.names or reading.names, found.keypoints, reading.clip)
    reader = _Reader(found, labels, reading)
    splits = reader.read(progress)
    labels.refuse_oriented()
    if not labels.names:
        found.notes.append(_guessed_names(found, labels.highest + 1))
    names = labels.names or [f"class_{number}" for number in range(labels.highest + 1)]
    notes = (*found.notes, *reader.notes)
    return with_notes(Listing(found.root, splits, tuple(names), notes=notes))


def write_yolo(folder: Path, labels: Sequence[str], splits: Mapping[str, Sequence[Sample]]) -> int:
    """Write data.yaml, labels/NAME.txt and SPLIT.txt; a ``Writer``.

    The format cannot mark difficult objects: they are left out, as is usual for VOC.
    """
    yaml = load_yaml()
    left_out = 0
    for samples in splits.values():
        for sample in samples:
            lines = [_line(item, sample, labels) for item in sample.objects if not item.difficult]
            target = _usual_path(sample.image_path)
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


def _described(root: Path, reading: Reading) -> YoloSet:
    file = find_yaml(root)
    if file is None:
        return _from_folders(root, reading)
    described = read_yaml(file)
    if described.splits and reading.images is None:
        described.notes += _unused_lists(described)
        return described
    # supervision writes no splits into it
    found = _from_folders(described.root, reading)
    found.notes += described.notes
    return replace(found, names=described.names, keypoints=described.keypoints)


def _guessed_names(found: YoloSet, count: int) -> Problem:
    reason = (
        f"names no classes: the {count} found are called class_0, class_1, ...; write their names, "
        "one per line, into classes.txt, or give such a file with --labels"
    )
    return Problem(found.root, "class_names_guessed", reason, "warning")


def _unused_lists(found: YoloSet) -> Iterator[Problem]:
    tree = read_tree(found.root)
    lists = split_lists(tree, FileIndex(found.root, tree.pictures))
    return unused_lists(lists, found.not_labels, "the .yaml says what the splits are")


def _from_folders(root: Path, reading: Reading) -> YoloSet:
    """Return what there is without a .yaml."""
    if not root.is_dir():
        raise DataError(f"{root}: no YOLO data here; expected a folder or a .yaml file")
    tree = read_tree(root)
    images = read_tree(root / reading.images) if reading.images else tree
    if not images.pictures:
        raise DataError(
            f"{root}: no YOLO data here; expected data.yaml with names, train and val, or pictures "
            "with .txt labels"
        )
    found = YoloSet(root, {}, _listed_names(tree))
    found.not_labels = tuple(root / file for file in _class_lists(tree))
    in_root = split_lists(tree, FileIndex(root, tree.pictures))
    lists = _lists(tree, in_root)
    found.not_labels += (*in_root, *lists.values())
    found.notes += unused_lists(in_root, lists.values(), "another list is for the same split")
    if reading.images is None and lists:
        _split_by_lists(found, lists)
    else:
        _split_by_folders(found, images if reading.images else _without_masks(found, tree))
    return found


def _without_masks(found: YoloSet, tree: Tree) -> Tree:
    annotated = pair_files(tree.pictures, tree.with_suffix(".txt")).annotation_of
    masks = find_masks(tree.pictures, annotated)
    found.notes += note_masks(tree.root, masks)
    gone = {file for files in masks.values() for file in files}
    return Tree(tree.root, tuple(file for file in tree.files if file not in gone))


def _class_lists(tree: Tree) -> list[str]:
    """Return the files with class names, that nearest to the root first."""
    names = [
        file
        for file in tree.files
        if (name := file.rpartition("/")[2].lower()) in _CLASS_LISTS or name.endswith(".names")
    ]
    return sorted(names, key=lambda file: file.count("/"))


def _listed_names(tree: Tree) -> tuple[str, ...]:
    found = {file: read_label_file(tree.root / file) for file in _class_lists(tree)}
    longest = max(found.values(), key=len, default=())
    # LabelImg adds a class to the list of a folder when it is first met there.
    if any(names != longest[: len(names)] for names in found.values()):
        raise DataError(
            f"{tree.root}: {' and '.join(found)} name different classes; keep one of them"
        )
    return longest


def _lists(tree: Tree, others: Sequence[Path]) -> dict[str, Path]:
    """Return split → list: those that darknet's obj.data names, else those nearest to the root."""
    named = _darknet_lists(tree)
    found: dict[str, Path] = {}
    # train.txt is meant before train_small.txt.
    for path in sorted(others, key=lambda path: split_name(path.stem) is None):
        if path not in named.values():
            found.setdefault(split_of_stem(path.stem) or path.stem, path)
    return found | named


def _darknet_lists(tree: Tree) -> dict[str, Path]:
    found = {}
    texts = FileIndex(tree.root, tree.with_suffix(".txt"))
    for file in tree.with_suffix(".data"):
        text = read_text(tree.root / file, "darknet's data file")
        pairs = (line.partition("=") for line in text.splitlines())
        named = {key.strip(): value.strip() for key, _, value in pairs}
        for key, split in (("train", "train"), ("valid", "val"), ("test", "test")):
            name = texts.find(named.get(key, ""))
            if name:
                found[split] = tree.root / name
    return found


def _split_by_lists(found: YoloSet, lists: Mapping[str, Path]) -> None:
    index = [FileIndex(found.root, read_tree(found.root).pictures)]
    for split, file in lists.items():
        found.splits[split] = list(listed_pictures(file, found.root, index))
    first = next((path for paths in found.splits.values() for path in paths), Path())
    if set(lists) == {"train"} and first.parent.name == _CVAT_FOLDER:
        reason = "is the only list, as CVAT writes it; its pictures are split again"
        found.notes.append(Problem(lists["train"], "no_splits", reason, "warning"))
        found.splits = {UNSPLIT: found.splits["train"]}
    used = {path for paths in found.splits.values() for path in paths}
    left = [path for path in pictures_in(found.root) if path not in used]
    if left:
        reason = f"{len(left)} pictures are in no list and are not used, e.g. {left[0].name}"
        found.notes.append(Problem(found.root, "picture_in_no_list", reason, "warning"))


def _split_by_folders(found: YoloSet, images: Tree) -> None:
    splits: dict[str, list[Path]] = {}
    for file in images.pictures:
        splits.setdefault(place_of(file).split or UNSPLIT, []).append(images.root / file)
    if set(splits) == {"train"} and images.pictures[0].rpartition("/")[0].endswith(_CVAT_FOLDER):
        splits = {UNSPLIT: splits["train"]}
    found.splits, notes = settle_loose(splits, found.root)
    found.notes += notes


class _Reader:
    """Reads each picture's labels once, whatever the number of its splits."""

    def __init__(self, found: YoloSet, labels: LabelReader, reading: Reading) -> None:
        self._found = found
        self._labels = labels
        self.notes: list[Problem] = []
        pictures = list(dict.fromkeys(p for paths in found.splits.values() for p in paths))
        self._files = _label_files(found, pictures, reading, self.notes)
        self._total = len(pictures)
        self._records: dict[tuple[Path, str], Record] = {}

    def read(self, progress: Tick) -> dict[str, tuple[Record, ...]]:
        splits = {}
        for split, pictures in self._found.splits.items():
            state = self._state(split, pictures)
            ids = _image_ids(pictures)
            records = []
            for picture in pictures:
                key = (picture, state)
                if key not in self._records:
                    self._records[key] = self._record(picture, ids[picture], state)
                    progress(min(len(self._records), self._total), self._total)
                records.append(self._records[key])
            splits[split] = tuple(records)
        return splits

    def _state(self, split: str, pictures: Sequence[Path]) -> str:
        """Return "labelled", or what a split is in which no picture has labels."""
        bare = [picture for picture in pictures if picture not in self._files]
        if not pictures or len(bare) < len(pictures):
            self._note_bare_folders(pictures, bare)
            return "labelled"
        if split not in _MAY_BE_UNLABELLED:
            return "lost"
        reason = f"no picture of split {split!r} has labels; nothing can be measured on it"
        self.notes.append(Problem(pictures[0].parent, "unlabelled_split", reason, "warning"))
        return "unlabelled"

    def _note_bare_folders(self, pictures: Sequence[Path], bare: Sequence[Path]) -> None:
        partly = {picture.parent for picture in pictures if picture in self._files}
        for folder, count in Counter(picture.parent for picture in bare).items():
            if folder not in partly:
                reason = f"none of its {count} pictures has labels; they count as background"
                note = Problem(folder, "folder_without_labels", reason, "warning")
                self.notes.append(note)

    def _record(self, picture: Path, image_id: str, state: str) -> Record:
        file = self._files.get(picture)
        expected = file or _usual_path(picture)
        problems: list[Problem] = []
        size = _size(picture, problems)
        sample = None
        if size is not None and state == "lost":
            reason = f"no label file, nor for any picture of its split; looked for {expected}"
            problems.append(Problem(picture, "missing_annotation", reason))
        elif size is not None:
            objects = () if file is None else tuple(self._labels.read(file, size, problems))
            sample = Sample(image_id, picture, size, objects, annotated=state == "labelled")
        return Record(image_id, picture, expected, sample, tuple(problems), False)


def _size(picture: Path, problems: list[Problem]) -> tuple[int, int] | None:
    if not is_file(picture):
        problems.append(Problem(picture, "missing_picture", "picture not found, but listed"))
        return None
    try:
        return picture_size(picture)
    except DataError as error:
        reason = str(error).removeprefix(f"{picture}: ")
        problems.append(Problem(picture, "broken_picture", reason))
        return None


def _label_files(
    found: YoloSet, pictures: Sequence[Path], reading: Reading, notes: list[Problem]
) -> dict[Path, Path]:
    """Return picture → its label file, for those that have one."""
    files: dict[Path, Path] = {}
    if reading.annotations is None:
        for picture in pictures:
            usual = (_usual_path(picture), picture.with_suffix(".txt"))
            file = next((path for path in usual if is_file(path)), None)
            if file is not None:
                files[picture] = file
    root = (found.root / (reading.annotations or "")).resolve()
    images = (found.root / (reading.images or "")).resolve()
    taken = set(_resolved((*found.not_labels, *files.values())).values())
    texts = [file for file in read_tree(root).with_suffix(".txt") if root / file not in taken]
    bare = {
        real.relative_to(images).as_posix(): picture
        for picture, real in _resolved(pictures).items()
        if picture not in files and real.is_relative_to(images)
    }
    pairs = pair_files(bare, texts)
    files |= {bare[picture]: root / file for picture, file in pairs.annotation_of.items()}
    notes.extend(_lone_labels(root, pairs.lone, images))
    notes.extend(_shared_labels(files))
    return files


def _shared_labels(files: Mapping[Path, Path]) -> Iterator[Problem]:
    """Yield a note for each label file of several pictures, as a.jpg and a.png."""
    pictures: dict[Path, list[str]] = {}
    for picture, file in files.items():
        pictures.setdefault(file, []).append(picture.name)
    for file, names in pictures.items():
        if len(names) > 1:
            reason = f"is read for {' and '.join(names)}; if they differ, rename one of them"
            yield Problem(file, "labels_shared", reason, "warning")


def _resolved(paths: Iterable[Path]) -> dict[Path, Path]:
    """Return path → the same without links and "..", in its folders."""
    folders: dict[Path, Path] = {}
    found = {}
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = real_path(path.parent)
        found[path] = folders[path.parent] / path.name
    return found


def _usual_path(picture: Path) -> Path:
    """Return where Ultralytics looks for the labels of a picture."""
    parts = picture.parts
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        parts = (*parts[:last], "labels", *parts[last + 1 :])
    return Path(*parts).with_suffix(".txt")


def _lone_labels(root: Path, files: Iterable[str], images: Path) -> Iterator[Problem]:
    """Yield a note for each label file that nobody knows a picture of."""
    stems = {file.rpartition("/")[2].rpartition(".")[0] for file in read_tree(images).pictures}
    for file in files:
        stem = file.rpartition("/")[2].rpartition(".")[0]
        if stem not in stems and looks_like_labels(root / file):
            reason = "there is no picture for these labels; they are not used"
            yield Problem(root / file, "labels_without_picture", reason, "warning")


def _image_ids(pictures: Sequence[Path]) -> dict[Path, str]:
    """Return picture → its path without suffix below the deepest folder that holds them all."""
    real = _resolved(pictures)
    common = Path(os.path.commonpath({path.parent for path in real.values()})) if real else Path()
    return {p: r.relative_to(common).with_suffix("").as_posix() for p, r in real.items()}
