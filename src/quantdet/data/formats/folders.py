"""What lies in the folder of a data set, and which folders belong together.

Tools agree on pictures and annotations of one name in folders of their own, but neither on the
names of these folders nor on their order: ``images/train/a.jpg`` with ``labels/train/a.txt``,
``train/images/a.jpg`` with ``train/Annotations/a.xml``, ``valid/a.jpg`` beside ``valid/a.xml``.
Without the folders that only say what is in them, all of these are "a" of train or val: the
:class:`Place` of a file.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import takewhile
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from quantdet.data.images import IMAGE_SUFFIXES
from quantdet.data.records import UNSPLIT, Problem

_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing"),
}
_SPLIT_OF_WORD = {word: split for split, words in _SPLITS.items() for word in words}
PICTURE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "data")
ANNOTATION_FOLDERS = (
    *("annotations", "annotation", "annots", "annot", "anno", "anns", "ann"),
    *("labels", "label", "xmls", "xml", "txts", "txt", "jsons", "json", "bboxes"),
)
_KIND_FOLDERS = frozenset((*PICTURE_FOLDERS, *ANNOTATION_FOLDERS))
# What stands beside the name of a split without being part of another name.
_FILLERS = _KIND_FOLDERS | {"set", "dataset", "obj", "split", "list", "file", "files", "ids"}
_DEPTH = 8


@lru_cache(maxsize=4096)
def split_name(word: str) -> str | None:
    """Return train, val or test if ``word`` is a name of it and nothing else.

    So are Valid, train2017, 01_train, test_images, ValSet and obj_train_data of darknet; train_2
    and night_train are not.
    """
    bare = re.sub(r"^\d+[_. -]+|[_-]?\d{4}$", "", word.strip())
    words = _words(bare)
    found = {_SPLIT_OF_WORD[part] for part in words if part in _SPLIT_OF_WORD}
    others = [part for part in words if part not in _SPLIT_OF_WORD and part not in _FILLERS]
    return found.pop() if len(found) == 1 and not others else None


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case; trainset and testlist are two."""
    parts = re.findall(r"[A-Z]?[^\W\dA-Z_]+|[A-Z]+(?![^\W\dA-Z_])|\d+|[^\w\s.-]+", name)
    joined = (re.fullmatch(r"(.+?)(set|list)", part.lower()) for part in parts)
    both = (
        (found[1], found[2]) if found and found[1] in _SPLIT_OF_WORD else (part.lower(),)
        for part, found in zip(parts, joined, strict=True)
    )
    return [word for pair in both for word in pair]


def splits_in(name: str) -> set[str]:
    """Return the splits that are words of a name: my-train, t1_val."""
    return {_SPLIT_OF_WORD[word] for word in _words(name) if word in _SPLIT_OF_WORD}


def split_of_stem(stem: str) -> str | None:
    """Return the split that a file is named after: train, autosplit_val, my-test, train_small."""
    parts = re.split(r"[_.\- ]", stem)
    return split_name(stem) or split_name(parts[-1]) or split_name(parts[0])


def split_of_annotations(file: str) -> str | None:
    """Return the split that a file of annotations is of, by its name or its folders."""
    stem = file.rpartition("/")[2].rpartition(".")[0]
    parts = re.split(r"[_.\- ]", stem)
    return split_name(stem) or split_name(parts[-1]) or place_of(file).split or split_name(parts[0])


@dataclass(frozen=True)
class Place:
    """Where a file belongs.

    Attributes:
        split: train, val or test, by the folders above; "" if none of them says so.
        key: the other folders and the name without suffix, e.g. "farm/cow_1".
    """

    split: str
    key: str

    def may_share(self, other: Place) -> bool:
        """Return whether no folder says that the two are of different splits."""
        return not (self.split and other.split) or self.split == other.split


# Several steps ask for the place of each file.
@lru_cache(maxsize=1 << 16)
def place_of(relative: str) -> Place:
    """Return the place of a file, given its path below the data set with "/"."""
    *folders, name = relative.split("/")
    split, kept = "", []
    for folder in folders:
        found = split_name(folder)
        if found is not None:
            split = found
        elif folder.lower() not in _KIND_FOLDERS:
            kept.append(folder)
    key = "/".join((*kept, name.rpartition(".")[0] or name))
    return Place(split, unicodedata.normalize("NFC", key))


@dataclass(frozen=True)
class Tree:
    """The files below a folder; hidden ones and what macOS and Windows drop are passed over.

    Attributes:
        root: the folder.
        files: paths relative to it, with "/", in order.
    """

    root: Path
    files: tuple[str, ...]

    def with_suffix(self, *suffixes: str) -> list[str]:
        """Return the files of these suffixes (lower case, with the dot)."""
        return [file for file in self.files if file.lower().endswith(suffixes)]

    @cached_property
    def pictures(self) -> list[str]:
        """Relative paths of all pictures."""
        return self.with_suffix(*IMAGE_SUFFIXES)


def read_tree(root: Path) -> Tree:
    """List the files below ``root``, at most eight folders deep; links are followed."""
    return Tree(root, tuple(sorted(_walk(str(root), "", ()))))


def _walk(folder: str, relative: str, above: tuple[str, ...]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above or len(above) > _DEPTH:  # a link to a folder above it has no end
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        kind = _kind(entry)
        if kind == "folder":
            yield from _walk(entry.path, f"{relative}{entry.name}/", (*above, real))
        elif kind == "file":
            yield relative + entry.name


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:  # a circle of links
        return ""


_T = TypeVar("_T")


def settle_loose(
    splits: Mapping[str, list[_T]], folder: Path
) -> tuple[dict[str, list[_T]], list[Problem]]:
    """Decide about pictures in no folder of a split, where others are in one.

    They are trained on if there is no other training split, else they are not used.

    Args:
        splits: split → pictures; the loose ones are of the split UNSPLIT.
        folder: for the note.

    Returns:
        The splits in order, and notes.
    """
    named = {name: splits[name] for name in _SPLITS if name in splits}
    loose = splits.get(UNSPLIT)
    if loose is None or not named:
        return named or dict(splits), []
    reason = f"{len(loose)} pictures are in no folder called train, val or test"
    if "train" not in named:
        note = Problem(folder, "no_train_folder", f"{reason}; they are trained on", "warning")
        return {"train": loose, **named}, [note]
    note = Problem(folder, "picture_in_no_split", f"{reason}; they are not used", "warning")
    return named, [note]


def is_file(path: Path) -> bool:
    """Return whether there is a file; a name that none can have is no error."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def real_path(path: Path) -> Path:
    """Return a path without links and ".."; one that no file can have, as it is."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # a null byte, or a circle of links
        return path.absolute()


def clean_name(name: str) -> str:
    """Return a path as files name it with "/" alone: no backslashes, "./" and "file://".

    "?d=" is in front of the path where Label Studio serves local files; what else is behind the
    "?" of an address is no part of the name.
    """
    name = re.sub(r"^(\w+://)?[^?]*\?d=", "", name.strip().replace("\\", "/"))
    name = re.sub(r"^\w+://([^?]*)(\?.*)?$", r"\1", name)
    return re.sub(r"^(\./)+|/(?=/)|(?<=/)\./", "", name)


@dataclass
class FileIndex:
    """Finds files by what lists and annotations call them.

    Attributes:
        root: the folder that ``files`` are relative to.
        files: relative paths with "/".
    """

    root: Path
    files: Sequence[str]
    _by_name: dict[str, list[str]] = field(init=False, repr=False)
    _by_stem: dict[str, list[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._by_name, self._by_stem = defaultdict(list), defaultdict(list)
        for file in self.files:
            name = file.rpartition("/")[2]
            self._by_name[name].append(file)
            self._by_stem[name.rpartition(".")[0] or name].append(file)
        self._known = set(self.files)

    @cached_property
    def _by_spelling(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for name, files in self._by_name.items():
            found[_folded(name)] += files
        return found

    def find_from(self, folder: Path, name: str) -> str | None:
        """Return the file that ``name`` is, seen from a folder; None if there is none."""
        path = Path(os.path.normpath(folder / clean_name(name)))
        inside = path.is_relative_to(self.root)
        relative = path.relative_to(self.root).as_posix() if inside else ""
        return relative if relative in self._known else None

    def find(self, name: str, split: str = "") -> str | None:
        """Return the file called ``name``, or the only one whose path ends most like it.

        Args:
            name: a path, clean or not. The folders of an absolute one may be those of another
                machine; those of a relative one must be the file's, or more or fewer in front.
            split: train, val or test: of two alike, that in a folder of this split is meant.
        """
        name = clean_name(name)
        if name in self._known:
            return name
        bare = name.rpartition("/")[2]
        found = _likest(self._by_name.get(bare, ()), name, split)
        if found is None and "%" in name:  # as in addresses
            return _likest(self._by_name.get(unquote(bare), ()), unquote(name), split)
        # Windows knows no case in names, and macOS writes accents as letters of their own.
        return found or _likest(self._by_spelling.get(_folded(bare), ()), name, split)

    def find_stem(self, name: str, split: str = "") -> str | None:
        """Return the file called ``name`` with any suffix."""
        name = clean_name(name)
        candidates = self._by_stem.get(name.rpartition("/")[2], ())
        return _likest(candidates, name, split, stems=True)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _likest(candidates: Sequence[str], name: str, split: str, *, stems: bool = False) -> str | None:
    """Return the candidate with most folders in common with ``name``; None if two have as many."""
    candidates = [file for file in candidates if _fits(file, name)]
    if len(candidates) <= 1:
        return next(iter(candidates), None)
    bare = [c.rpartition(".")[0] for c in candidates] if stems else candidates
    ranks = [
        (_common_tail(text, name), bool(split) and place_of(file).split == split)
        for file, text in zip(candidates, bare, strict=True)
    ]
    best = max(ranks)
    found = [file for file, rank in zip(candidates, ranks, strict=True) if rank == best]
    # Pictures of one name side by side differ in the suffix; the earlier suffix counts.
    if len({file.rpartition(".")[0] for file in found}) > 1:
        return None
    return min(found, key=suffix_rank)


def _fits(file: str, name: str) -> bool:
    """Return whether the folders of ``name`` may be those of ``file``."""
    wanted, place = place_of(f"{name}."), place_of(file)
    foreign = name.startswith("/") or name[1:2] == ":"
    if not wanted.may_share(place):
        return False
    above, other = (key.rpartition("/")[0] for key in (wanted.key, place.key))
    return foreign or _is_tail(above, other)


def _is_tail(a: str, b: str) -> bool:
    """Return whether one of two folders is, or ends as, the other."""
    long, short = sorted((a, b), key=len, reverse=True)
    return long == short or not short or long.endswith(f"/{short}")


def _common_tail(a: str, b: str) -> int:
    parts = list(zip(reversed(a.split("/")), reversed(b.split("/")), strict=False))
    return next((n for n, (x, y) in enumerate(parts) if x != y), len(parts))


def suffix_rank(file: str) -> int:
    """Return the position of a picture's suffix in ``IMAGE_SUFFIXES``."""
    suffix = f".{file.rpartition('.')[2].lower()}"
    return IMAGE_SUFFIXES.index(suffix) if suffix in IMAGE_SUFFIXES else len(IMAGE_SUFFIXES)


def common_prefix(keys: Iterable[str]) -> str:
    """Return the folders, with "/" behind, that all keys begin with; "" if there are none."""
    folders = {key.rpartition("/")[0] for key in keys}
    levels = zip(*(folder.split("/") for folder in folders), strict=False)
    shared = takewhile(lambda level: len(set(level)) == 1, levels)
    return "".join(f"{level[0]}/" for level in shared if level[0])


@dataclass(frozen=True)
class Pairs:
    """Which annotation file belongs to which picture.

    Attributes:
        annotation_of: picture → annotation.
        lone: annotations without a picture.
        rivals: annotations of pictures that have another one → that one.
    """

    annotation_of: dict[str, str]
    lone: list[str]
    rivals: dict[str, str]


def pair_files(pictures: Iterable[str], annotations: Iterable[str]) -> Pairs:
    """Pair pictures and annotations that are called alike, given their relative paths.

    Those at one place belong together. So do those of one name of which one is in fewer folders,
    as pictures in ``train`` and all annotations in one folder, unless that fits twice.
    """
    by_place: dict[Place, str] = {}
    for file in pictures:
        by_place.setdefault(place_of(file), file)
    pairs = Pairs({}, [], {})
    loose = [file for file in annotations if not _pair(pairs, file, by_place.get(place_of(file)))]
    bare: dict[str, list[tuple[Place, str]]] = defaultdict(list)
    for place, file in by_place.items():
        if file not in pairs.annotation_of:
            bare[place.key.rpartition("/")[2]].append((place, file))
    for file in loose:
        place = place_of(file)
        fitting = [p for other, p in bare[place.key.rpartition("/")[2]] if _may_be(place, other)]
        if not _pair(pairs, file, fitting[0] if len(fitting) == 1 else None):
            pairs.lone.append(file)
    return pairs


def find_masks(pictures: Iterable[str], annotated: Collection[str]) -> dict[str, list[str]]:
    """Return folder → its pictures, for folders that repeat the names of annotated pictures.

    Such are masks and depths, as SegmentationClass of VOC: none has an annotation of its own.
    """
    names: dict[str, list[Place]] = defaultdict(list)
    for file in annotated:
        names[_bare(file)].append(place_of(file))
    folders: dict[str, list[str]] = defaultdict(list)
    for file in pictures:
        folders[file.rpartition("/")[0]].append(file)
    return {
        folder: files
        for folder, files in folders.items()
        if not any(file in annotated for file in files)
        and all(any(place_of(f).may_share(p) for p in names.get(_bare(f), ())) for f in files)
    }


def note_masks(root: Path, masks: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Yield a note on each folder of :func:`find_masks`."""
    for folder, files in masks.items():
        reason = (
            f"its {len(files)} pictures have no annotations, and the names of pictures that have; "
            "they are taken for masks and not used"
        )
        yield Problem(root / folder, "masks_not_used", reason, "warning")


def _bare(file: str) -> str:
    return place_of(file).key.rpartition("/")[2]


def _pair(pairs: Pairs, annotation: str, picture: str | None) -> bool:
    if picture is None:
        return False
    known = pairs.annotation_of.setdefault(picture, annotation)
    if known != annotation:
        pairs.rivals[annotation] = known
    return True


def may_belong(annotation: str, picture: str) -> bool:
    """Return whether no folder says that a file is about another picture."""
    return _may_be(place_of(annotation), place_of(picture))


def _may_be(a: Place, b: Place) -> bool:
    if not a.may_share(b):
        return False
    return _is_tail(a.key, b.key)
