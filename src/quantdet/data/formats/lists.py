"""Lists that say which pictures are in which split, as people have them.

``ImageSets/Main/train.txt`` of VOC with ids, ``train.txt`` in the root with paths (PaddleDetection,
darknet, CVAT), lists of one class with a second column (``cat_train.txt``, which VoTT writes
without any other), and lists of a task (``t1_train.txt``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from quantdet.data.formats.folders import FileIndex, Tree, split_name, split_of_stem
from quantdet.data.images import IMAGE_SUFFIXES
from quantdet.data.records import UNSPLIT, Problem, peek_text, read_text

STANDARD_SPLITS = ("train", "val", "trainval", "test")
_SUFFIXES = (*IMAGE_SUFFIXES, ".xml", ".txt")
_FLAGS = ("-1", "0", "1")
LIST_SUFFIXES = (".txt", ".lst", ".list", ".csv")
_IMAGE_SETS = "/imagesets/"
_LABEL_LINE = re.compile(r"[-+.\deE]+(\s+[-+.\deE]+){4,}")
_PEEKED = 1 << 16
_LOOKED_AT = 5


@dataclass(frozen=True)
class SplitLists:
    """The splits that lists name.

    Attributes:
        entries: split name → lines, each once.
        notes: how lists were read that are not called train, val, trainval or test.
        files: the lists used.
    """

    entries: Mapping[str, Sequence[str]]
    notes: tuple[Problem, ...] = ()
    files: tuple[Path, ...] = ()


def read_lists(files: Iterable[Path], classes: Callable[[], Collection[str]]) -> SplitLists:
    """Read split lists.

    A list that is called CLASS_SPLIT is one of a class: it has a second column of 1, 0 and -1, or
    ``classes`` has its class. Beside other lists it is passed over, as in VOC; alone, the lists of
    all classes are united.

    Args:
        files: ``.txt`` files, each a list.
        classes: gives the class names; asked only where needed.

    Raises:
        DataError: a list is not readable.
    """
    lines = {file: _lines(file) for file in files}
    of_class = {file for file in lines if _is_class_list(file, lines, classes)}
    if lines and len(of_class) == len(lines):
        return _united(lines)
    plain = {file: content for file, content in lines.items() if file not in of_class}
    names = _names(list(plain))
    notes = [
        Problem(file, "list_renamed", f"is used as the list of split {name!r}", "warning")
        for file, name in names.items()
        if name in STANDARD_SPLITS and split_name(file.stem) is None and name != file.stem
    ]
    notes += _repeats(plain)
    entries = {name: [*dict.fromkeys(plain[file])] for file, name in names.items()}
    return _undivided(SplitLists(entries, tuple(notes), tuple(plain)))


def _lines(file: Path) -> list[str]:
    lines = (line.strip() for line in read_text(file, "split list").splitlines())
    return [line for line in lines if line]


def _repeats(lines: Mapping[Path, Sequence[str]]) -> Iterator[Problem]:
    for file, content in lines.items():
        count = len(content) - len(set(content))
        if count:
            reason = f"has {count} lines that repeat another one; each picture counts once"
            yield Problem(file, "duplicate_entry", reason, "warning")


def _is_class_list(
    file: Path, lines: Mapping[Path, Sequence[str]], classes: Callable[[], Collection[str]]
) -> bool:
    prefix, _, ending = file.stem.rpartition("_")
    if not prefix:
        return False
    rows = [line.split() for line in lines[file]]
    if rows and all(len(row) > 1 and row[-1] in _FLAGS for row in rows):
        return True
    known_ending = ending in STANDARD_SPLITS or any(ending == other.stem for other in lines)
    return known_ending and prefix in classes()


def _united(lines: Mapping[Path, Sequence[str]]) -> SplitLists:
    """Unite lists of classes: each names the pictures of its split, or those with its class."""
    entries: dict[str, dict[str, None]] = {}
    for file, content in lines.items():
        ending = file.stem.rpartition("_")[2]
        bare = (re.sub(r"\s+(-1|0|1)$", "", line) for line in content)
        entries.setdefault(split_name(ending) or ending, {}).update(dict.fromkeys(bare))
    note = Problem(
        next(iter(lines)).parent,
        "lists_united",
        f"has only lists of single classes; the {len(lines)} lists are merged by split",
        "warning",
    )
    united = {name: tuple(entries[name]) for name in _ordered(entries)}
    return _undivided(SplitLists(united, (note,), tuple(lines)))


def _names(files: Sequence[Path]) -> dict[Path, str]:
    """Return list → split name, standard splits first."""
    names = {file: split_name(file.stem) or file.stem for file in files}
    if not any(name in STANDARD_SPLITS for name in names.values()):
        ends = {file: split_of_stem(file.stem) for file in files}
        prefixes = {re.sub(r"[^_.\- ]*$", "", file.stem) for file in files}
        if len(prefixes) == 1 and all(ends.values()):
            names = {file: end for file, end in ends.items() if end}
    if len(set(names.values())) < len(names):  # val.txt and valid.txt
        names = {file: file.stem for file in files}
    by_name = {name: file for file, name in names.items()}
    return {by_name[name]: name for name in _ordered(by_name)}


def _ordered(names: Iterable[str]) -> list[str]:
    """Return split names, the standard ones first."""
    ranks = {name: rank for rank, name in enumerate(STANDARD_SPLITS)}
    return sorted(names, key=lambda name: ranks.get(name, len(ranks)))


def _undivided(lists: SplitLists) -> SplitLists:
    """Take a single list of another name, such as CVAT's default.txt, for a set without splits."""
    (first, *others) = lists.entries or ("",)
    if others or not first or first in STANDARD_SPLITS:
        return lists
    note = Problem(
        lists.files[0], "no_splits", "is the only list; its pictures are split again", "warning"
    )
    return SplitLists({UNSPLIT: lists.entries[first]}, (*lists.notes, note), lists.files)


def find_entry(index: FileIndex, line: str, split: str = "") -> str | None:
    """Return the file that a line of a list names: a path, a file name or an id.

    A line that is a name as a whole is that name; else what is behind the last space is another
    column, and at last all that is behind the first one.
    """
    for text in dict.fromkeys((line, line.rsplit(None, 1)[0], line.split(None, 1)[0])):
        found = index.find(text, split) or index.find_stem(text, split)
        if found is None and text.lower().endswith(_SUFFIXES):
            found = index.find_stem(text.rpartition(".")[0], split)
        if found is not None:
            return found
    return None


def image_sets(tree: Tree) -> list[str]:
    """Return the lists in ImageSets/Main, or in ImageSets itself."""
    lists = [f for f in tree.with_suffix(".txt") if _IMAGE_SETS in f"/{f.lower()}"]
    main = [f for f in lists if f.lower().rpartition("/")[0].endswith("imagesets/main")]
    bare = [f for f in lists if f.lower().rpartition("/")[0].endswith("imagesets")]
    return main or bare


def split_lists(tree: Tree, index: FileIndex) -> list[Path]:
    """Return the lists outside ImageSets/Main that are named after splits and name pictures.

    Those nearest to the root come first. Other lists of VOC, of segmentations, are for other tasks.
    """
    in_sets = bool(image_sets(tree))
    files = [
        file
        for file in tree.with_suffix(*LIST_SUFFIXES)
        if split_of_stem(PurePosixPath(file).stem)
        and not (in_sets and _IMAGE_SETS in f"/{file.lower()}")
    ]
    files.sort(key=lambda file: (file.count("/"), file))
    return [tree.root / file for file in files if _names_pictures(tree.root / file, index)]


def nearest_lists(lists: Iterable[Path]) -> list[Path]:
    """Return the first of the lists of each name."""
    found: dict[str, Path] = {}
    for path in lists:
        found.setdefault(path.stem.lower(), path)
    return list(found.values())


def _names_pictures(file: Path, index: FileIndex) -> bool:
    """Return whether one of the first lines is a picture; above it may be a heading."""
    lines = (line.strip() for line in peek_text(file, _PEEKED).splitlines())
    # YOLO labels of a picture called train.jpg are no list.
    first = [line for line in lines if line and not _LABEL_LINE.fullmatch(line)][:_LOOKED_AT]
    return any(find_entry(index, line) is not None for line in first)


def unused_lists(files: Iterable[Path], used: Iterable[Path], why: str) -> Iterator[Problem]:
    """Yield a note for each list that does not count."""
    known = {file.resolve() for file in used}
    for file in files:
        if file.resolve() not in known:
            reason = f"looks like a list of pictures and is not used: {why}"
            yield Problem(file, "list_not_used", reason, "warning")


def unread_annotations(tree: Tree, read: str) -> Iterator[Problem]:
    """Yield a note for each file named after a split whose kind is not read.

    Args:
        tree: of the data set.
        read: what is read instead.
    """
    for file in tree.with_suffix(".csv", ".json"):
        if split_of_stem(PurePosixPath(file).stem):
            reason = f"is named after a split and not used: {read} say what the pictures show"
            yield Problem(tree.root / file, "annotation_not_used", reason, "warning")
