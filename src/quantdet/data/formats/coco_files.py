"""Which JSON files and which pictures belong to a COCO data set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from quantdet.data.formats.folders import (
    ANNOTATION_FOLDERS,
    FileIndex,
    Tree,
    is_file,
    read_tree,
    split_of_annotations,
    split_of_stem,
)
from quantdet.data.formats.lists import split_lists, unused_lists
from quantdet.data.records import UNSPLIT, Problem, Reading, peek_text
from quantdet.errors import DataError

# Files of the official download that hold other tasks.
_OTHER_TASKS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
_TASK_PREFIX = re.compile(r"^(instances|annotations)_")


def find_files(root: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Return split → JSON file, and notes.

    Raises:
        DataError: ``root`` is no COCO data set.
    """
    if is_file(root):
        return {UNSPLIT: root}, []
    tree = read_tree(root)
    found = list(json_files(tree)) if root.is_dir() else []
    if not found:
        raise DataError(
            f"{root}: no COCO data here; expected annotations/instances_train.json, or a .json "
            'file with "images", "annotations" and "categories" next to the pictures'
        )
    named = {file: _split_of(file) for file in found}
    if len(found) == 1 and named[found[0]] is None:
        return {UNSPLIT: root / found[0]}, []
    files: dict[str, Path] = {}
    notes = []
    for file, split in named.items():
        name = split or _TASK_PREFIX.sub("", PurePosixPath(file).stem)
        known = files.setdefault(name, root / file)
        if known != root / file:
            reason = f"is not used: {known} is also of split {name!r}"
            notes.append(Problem(root / file, "annotation_not_used", reason, "warning"))
    lists = split_lists(tree, FileIndex(root, tree.pictures))
    return files, [*notes, *unused_lists(lists, (), "the JSON files say what the splits are")]


def json_files(tree: Tree) -> Iterator[str]:
    """Yield COCO's files, those with the official name and those nearest to the root first."""
    files = tree.with_suffix(".json")
    files.sort(key=lambda f: ("instances_" not in f, f.count("/"), f))
    return (file for file in files if looks_like_coco(tree.root / file))


def _split_of(file: str) -> str | None:
    folder, _, name = file.rpartition("/")
    return split_of_annotations(f"{folder}/{_TASK_PREFIX.sub('', name)}")


def looks_like_coco(path: Path) -> bool:
    """Return whether a file is COCO's, or a part of one, by its name or the keys in it."""
    if path.suffix.lower() != ".json" or path.name.startswith((".", *_OTHER_TASKS)):
        return False
    if path.name.startswith("instances_"):
        return True  # the official name; such files are large, and are read only once
    text = peek_text(path)
    if split_of_stem(path.stem) and not text.rstrip().endswith(("}", "]")):
        return True  # cut short: reading it says so
    return '"images"' in text and ('"categories"' in text or '"annotations"' in text)


def index_pictures(root: Path, place: Path, reading: Reading) -> FileIndex:
    """Return an index of all pictures of the data set."""
    folder = root / (reading.images or "") if root.is_dir() else _data_folder(place)
    return FileIndex(folder, read_tree(folder).pictures)


def _data_folder(file: Path) -> Path:
    """Return the data set that a JSON file is in, perhaps in a folder for annotations."""
    parent = file.parent
    return parent.parent if parent.name.lower() in ANNOTATION_FOLDERS else parent


def picture_folders(path: Path, split: str) -> list[Path]:
    """Return where the pictures of a JSON file are looked for first."""
    stem = _TASK_PREFIX.sub("", path.stem)
    folders = []
    for root in dict.fromkeys((_data_folder(path), path.parent)):
        for name in ("images", "JPEGImages", "data", "."):
            folders += [root / name / stem, root / name / split, root / name]
    return folders
