"""PASCAL VOC: one XML file a picture, splits as lists of ids or as folders.

Understood are ``.../VOC2012`` itself, a ``VOCdevkit`` with one year in it, and any folder in which
pictures and XML files of one name are side by side or in folders of their own, e.g. ``images`` and
``annotations``, with or without folders for train, val and test above or below (``folders.py``),
and lists as ``lists.py`` reads them.

Source: "The PASCAL Visual Object Classes Challenge 2012 Development Kit", section 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from quantdet.data.formats.folders import (
    FileIndex,
    Place,
    Tree,
    clean_name,
    common_prefix,
    pair_files,
    place_of,
    read_tree,
    settle_loose,
    split_name,
    suffix_rank,
)
from quantdet.data.formats.lists import (
    SplitLists,
    find_entry,
    read_lists,
    root_lists,
    unused_lists,
)
from quantdet.data.formats.voc_xml import parse_annotation, write_annotation
from quantdet.data.images import picture_size
from quantdet.data.labels import VOC_CLASSES, read_label_map
from quantdet.data.records import (
    SEARCHED,
    UNSPLIT,
    Listing,
    Problem,
    Reading,
    Record,
    with_notes,
)
from quantdet.data.sample import Sample
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import write_text

_LABEL_MAPS = ("labelmap.txt", "pascal_label_map.pbtxt", "label_list.txt", "classes.txt")
_LOOKED_AT = 20
# In these a picture needs an annotation; other splits may be there to predict on.
_LEARNED = ("train", "val", "trainval", UNSPLIT)


def is_voc(root: Path) -> bool:
    """Return whether ``root`` is a VOC data set; of several years in it one must be named."""
    if not root.is_dir():
        return False
    tree = read_tree(root)
    looked_at = (root / file for file in tree.with_suffix(".xml")[:_LOOKED_AT])
    return bool(tree.pictures) and (bool(_image_sets(tree)) or any(map(is_voc_xml, looked_at)))


def is_voc_xml(path: Path) -> bool:
    """Return whether a file begins as a VOC annotation does."""
    try:
        with path.open("rb") as stream:
            start = stream.read(2048)
    except OSError:
        return False
    return re.search(rb"<annotation[\s/>]", start.replace(b"\0", b"")) is not None


def read_voc(root: Path, progress: Tick = no_tick, reading: Reading = SEARCHED) -> Listing:
    """Read every split of a VOC data set.

    Splits are those of lists, else those of folders; without either all pictures are in one split,
    :data:`quantdet.data.records.UNSPLIT`.

    A split other than train, val and trainval of which fewer than half of the pictures have an
    annotation counts as one without annotations: the public VOC2012 test has XML for a few hundred
    of its 10,991 pictures, and those name only the persons.

    Args:
        root: one of the layouts above.
        progress: called with (pictures done, all pictures).
        reading: where pictures and annotations are, if they cannot be found.

    Raises:
        DataError: not a VOC folder, or lists not readable.
    """
    files = _Files(root, _trees(root, reading))
    lists = files.lists()
    members, notes = files.split_by_lists(lists) if lists.entries else files.split_by_folders()
    reader = _Reader(reading, progress, listed=bool(lists.entries))
    splits = reader.read(members)
    return with_notes(Listing(files.folder, splits, notes=(*files.notes, *lists.notes, *notes)))


def write_voc(folder: Path, labels: Sequence[str], splits: Mapping[str, Sequence[Sample]]) -> int:
    """Write Annotations and ImageSets/Main; a ``Writer``."""
    for split, samples in splits.items():
        for sample in samples:
            if sample.annotated:
                write_annotation(folder / "Annotations" / f"{sample.image_id}.xml", sample)
        ids = "".join(f"{sample.image_id}\n" for sample in samples)
        write_text(folder / "ImageSets" / "Main" / f"{split}.txt", ids)
    return 0


@dataclass(frozen=True)
class _Item:
    """One picture: its name, where it and its annotation are or should be, and whether this is."""

    image_id: str
    picture: Path
    annotation: Path
    annotated: bool = True


@dataclass(frozen=True)
class _Trees:
    """Pictures, annotations and lists; mostly one and the same tree."""

    images: Tree
    annotations: Tree
    lists: Tree


def _trees(root: Path, reading: Reading) -> _Trees:
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder; give the VOC folder with --data, or get one with "
            "`quantdet data download voc2012`"
        )
    whole = read_tree(root)
    images = read_tree(root / reading.images) if reading.images else whole
    annotations = read_tree(root / reading.annotations) if reading.annotations else whole
    found = _Trees(images, annotations, whole)
    if not images.pictures or not (annotations.with_suffix(".xml") or _image_sets(whole)):
        raise DataError(
            f"{root}: no VOC data here; expected pictures and .xml files side by side, or in "
            "folders such as JPEGImages and Annotations, or images and annotations"
        )
    return found


def _image_sets(tree: Tree) -> list[str]:
    """Return the lists in ImageSets/Main, or in ImageSets itself."""
    lists = [f for f in tree.with_suffix(".txt") if "imagesets/" in f"/{f.lower()}"]
    main = [f for f in lists if f.lower().rpartition("/")[0].endswith("imagesets/main")]
    bare = [f for f in lists if f.lower().rpartition("/")[0].endswith("imagesets")]
    return main or bare


class _Files:
    """The files of a VOC data set, and what belongs to what."""

    def __init__(self, root: Path, trees: _Trees) -> None:
        self._trees = trees
        self._refuse_several(root)
        self.pictures: dict[Place, str] = {}
        for file in sorted(trees.images.pictures, key=suffix_rank):
            self.pictures.setdefault(place_of(file), file)
        self._index = FileIndex(trees.images.root, list(self.pictures.values()))
        pairs = pair_files(self.pictures.values(), trees.annotations.with_suffix(".xml"))
        self._xml_of, self.lone_xml = pairs.annotation_of, pairs.lone
        self.notes = list(self._rivals(pairs.rivals))
        self._match_by_content()
        keys = [place_of(file).key for file in self.pictures.values()]
        self._prefix = common_prefix(keys)

    @property
    def folder(self) -> Path:
        """The data set itself, which may be some folders below the root given."""
        lists = _image_sets(self._trees.lists)
        if lists:
            above = re.split(r"(?i)(?:^|/)imagesets/", lists[0])[0]
            return self._trees.lists.root / above
        return self._trees.lists.root / self._prefix

    def _refuse_several(self, root: Path) -> None:
        """Years of a VOCdevkit have lists of one name, and pictures of one name."""
        folders = {
            re.split(r"(?i)(?:^|/)jpegimages/", file)[0]
            for file in self._trees.images.pictures
            if "jpegimages/" in file.lower()
        }
        listed = {re.split(r"(?i)(?:^|/)imagesets/", f)[0] for f in _image_sets(self._trees.lists)}
        several = sorted(folders if len(folders & listed) > 1 else listed)
        if len(several) > 1:
            names = ", ".join(str(root / folder) for folder in several)
            raise DataError(f"{root}: holds several data sets, name one of them: {names}")

    def _rivals(self, rivals: Mapping[str, str]) -> Iterator[Problem]:
        for xml, other in rivals.items():
            # A link that gives a folder the usual name is no second annotation.
            if not self._path(xml).samefile(self._path(other)):
                reason = f"is not used: {other} is an annotation of the same picture"
                yield Problem(self._path(xml), "annotation_not_used", reason, "warning")

    def _match_by_content(self) -> None:
        """Find the pictures of the other annotations by the <filename> inside."""
        left, self.lone_xml = self.lone_xml, []
        for xml in left:
            if not is_voc_xml(self._path(xml)):
                reason = "is not used: no VOC annotation, and no picture has its name"
                note = Problem(self._path(xml), "annotation_not_used", reason, "warning")
                self.notes.append(note)
                continue
            name = re.search(rb"<filename>([^<]+)</filename>", self._path(xml).read_bytes())
            text = name.group(1).decode("utf-8", "replace") if name else ""
            picture = find_entry(self._index, text, place_of(xml).split) if text.strip() else None
            if picture is None or picture in self._xml_of:
                self.lone_xml.append(xml)
            else:
                self._xml_of[picture] = xml

    def _path(self, xml: str) -> Path:
        return self._trees.annotations.root / xml

    def item(self, picture: str) -> _Item:
        """Return a picture that is there."""
        xml = self._xml_of.get(picture)
        path = self._trees.images.root / picture
        annotation = self._expected_xml(path) if xml is None else self._path(xml)
        image_id = place_of(picture).key.removeprefix(self._prefix)
        return _Item(image_id, path, annotation, annotated=xml is not None)

    def lists(self) -> SplitLists:
        """Return the splits of the lists, if there are any."""
        tree = self._trees.lists
        in_sets = [tree.root / file for file in _image_sets(tree)]
        in_root = root_lists(tree, self._index)
        found = read_lists(in_sets or in_root, self._classes)
        if not in_sets:
            return found
        notes = unused_lists(in_root, in_sets, "the lists in ImageSets count")
        return SplitLists(found.entries, (*found.notes, *notes), found.files)

    def _classes(self) -> set[str]:
        return {*VOC_CLASSES, *self._mapped_classes, *self._annotated_classes}

    @cached_property
    def _mapped_classes(self) -> set[str]:
        tree = self._trees.lists
        maps = [f for f in tree.files if f.rpartition("/")[2].lower() in _LABEL_MAPS]
        return {name for file in maps for name in read_label_map(tree.root / file)}

    @cached_property
    def _annotated_classes(self) -> set[str]:
        root = self._trees.annotations.root
        found: set[str] = set()
        for file in self._trees.annotations.with_suffix(".xml"):
            names = re.findall(rb"<name>([^<]+)</name>", (root / file).read_bytes())
            found |= {name.decode("utf-8", "replace").strip() for name in names}
        return found

    def split_by_lists(self, lists: SplitLists) -> tuple[dict[str, list[_Item]], list[Problem]]:
        """Return split → pictures, and a note on those in no list."""
        splits: dict[str, list[_Item]] = {}
        used: set[str] = set()
        for split, lines in lists.entries.items():
            found = {line: find_entry(self._index, line, split) for line in lines}
            used.update(filter(None, found.values()))
            items = [
                self._missing(line) if file is None else self.item(file)
                for line, file in found.items()
            ]
            splits[split] = list({item.picture: item for item in items}.values())
        left = [file for file in self._xml_of if file not in used]
        if not left:
            return splits, []
        reason = f"{len(left)} annotated pictures are in no list and are not used, e.g. {left[0]}"
        return splits, [Problem(self.folder, "picture_in_no_list", reason, "warning")]

    def _missing(self, line: str) -> _Item:
        """Return a picture that is listed only; it should be beside the others."""
        name = line.split(maxsplit=1)[0]
        xml = FileIndex(Path(), self.lone_xml).find_stem(name)
        beside = next(iter(self.pictures.values())).rpartition("/")[0]
        suffixed = name if "." in name[-5:] else f"{name}.jpg"
        picture = self._trees.images.root / beside / suffixed
        annotation = self._path(xml) if xml else self._expected_xml(picture)
        return _Item(Path(name).stem, picture, annotation, annotated=xml is not None)

    def _expected_xml(self, picture: Path) -> Path:
        known = next(iter(self._xml_of.values()), picture.name)
        return self._path(known).parent / f"{picture.stem}.xml"

    def split_by_folders(self) -> tuple[dict[str, list[_Item]], list[Problem]]:
        """Return split → pictures by the folders they or their annotations are in."""
        splits: dict[str, list[_Item]] = {}
        for picture in sorted(self.pictures.values()):
            xml = self._xml_of.get(picture, "")
            split = place_of(picture).split or place_of(xml).split
            splits.setdefault(split or UNSPLIT, []).append(self.item(picture))
        for xml in self.lone_xml:
            splits.setdefault(place_of(xml).split or UNSPLIT, []).append(self._without_picture(xml))
        for items in splits.values():
            items.sort(key=lambda item: item.image_id)
        return settle_loose(splits, self.folder)

    def _without_picture(self, xml: str) -> _Item:
        key = place_of(xml).key
        annotation = self._path(xml)
        beside = next(iter(self.pictures.values())).rpartition("/")[0]
        picture = self._trees.images.root / beside / f"{annotation.stem}.jpg"
        return _Item(key.removeprefix(self._prefix), picture, annotation)


class _Reader:
    """Reads each picture's annotation once, whatever the number of its splits."""

    def __init__(self, reading: Reading, progress: Tick, *, listed: bool) -> None:
        self._reading = reading
        self._progress = progress
        self._listed = listed
        self._records: dict[tuple[Path, bool], Record] = {}

    def read(self, members: Mapping[str, Sequence[_Item]]) -> dict[str, tuple[Record, ...]]:
        total = len({item.picture for items in members.values() for item in items})
        splits = {}
        for split, items in members.items():
            found = sum(item.annotated for item in items)
            annotated = split_name(split) in _LEARNED or split in _LEARNED
            annotated = annotated or 2 * found >= len(items)
            splits[split] = tuple(self._once(item, annotated, total) for item in items)
        return splits

    def _once(self, item: _Item, annotated: bool, total: int) -> Record:
        key = (item.picture, annotated)
        if key not in self._records:
            self._records[key] = self._read(item) if annotated else _unannotated(item)
            self._progress(min(len(self._records), total), total)
        return self._records[key]

    def _read(self, item: _Item) -> Record:
        problems: list[Problem] = []
        if not item.picture.is_file():
            problems.append(_no_picture(item, self._listed))
        if not item.annotated:
            return self._without_annotation(item)
        parsed = parse_annotation(
            item.annotation, lambda: picture_size(item.picture), clip=self._reading.clip
        )
        problems += [*parsed.problems, *_other_name(item, parsed.file_name)]
        sample = None
        if parsed.size_hw is not None:
            sample = Sample(item.image_id, item.picture, parsed.size_hw, parsed.objects)
        return Record(
            item.image_id,
            item.picture,
            item.annotation,
            sample,
            tuple(problems),
            parsed.size_in_file,
        )

    def _without_annotation(self, item: _Item) -> Record:
        bare = _unannotated(item)
        if bare.sample is None:
            return bare
        if self._reading.unlabelled == "background":
            sample = Sample(item.image_id, item.picture, bare.sample.size_hw)
            return Record(item.image_id, item.picture, item.picture, sample, (), False)
        reason = "annotation not found, but listed" if self._listed else "annotation not found"
        remark = 'if nothing is on such pictures, set data.unlabelled = "background"'
        problem = Problem(item.annotation, "missing_annotation", f"{reason}; {remark}")
        return Record(item.image_id, item.picture, item.annotation, None, (problem,), False)


def _other_name(item: _Item, file_name: str) -> Iterator[Problem]:
    """Yield a warning if the annotation says that it is of another picture."""
    stem = clean_name(file_name).rpartition("/")[2]
    if stem and item.picture.stem not in (stem, stem.rpartition(".")[0]):
        reason = f"<filename> says {file_name!r}, but it is read with {item.picture.name}"
        yield Problem(item.annotation, "other_filename", reason, "warning")


def _no_picture(item: _Item, listed: bool) -> Problem:
    reason = "picture not found, but listed"
    if not listed:
        reason = f"picture not found, but there is {item.annotation.name}"
    return Problem(item.picture, "missing_picture", reason)


def _unannotated(item: _Item) -> Record:
    sample, problems = None, []
    try:
        if item.picture.is_file():
            size = picture_size(item.picture)
            sample = Sample(item.image_id, item.picture, size, annotated=False)
        else:
            problems.append(_no_picture(item, listed=True))
    except DataError as error:
        reason = str(error).removeprefix(f"{item.picture}: ")
        problems.append(Problem(item.picture, "broken_picture", reason))
    return Record(item.image_id, item.picture, item.picture, sample, tuple(problems), False)
