"""Which pictures, annotations and lists of a VOC data set belong together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from quantdet.data.formats.folders import (
    ANNOTATION_FOLDERS,
    FileIndex,
    Place,
    Tree,
    clean_name,
    common_prefix,
    find_masks,
    is_file,
    note_masks,
    pair_files,
    place_of,
    read_tree,
    settle_loose,
    suffix_rank,
)
from quantdet.data.formats.lists import (
    SplitLists,
    find_entry,
    image_sets,
    nearest_lists,
    read_lists,
    split_lists,
    unread_annotations,
    unused_lists,
)
from quantdet.data.labels import VOC_CLASSES, read_label_map
from quantdet.data.records import UNSPLIT, Problem, Reading
from quantdet.errors import DataError

_LABEL_MAPS = ("labelmap.txt", "pascal_label_map.pbtxt", "label_list.txt", "classes.txt")
_SHOWN = 5


def is_voc_xml(path: Path) -> bool:
    """Return whether a file begins as a VOC annotation does."""
    try:
        with path.open("rb") as stream:
            start = stream.read(2048)
    except OSError:
        return False
    return re.search(rb"<annotation[\s/>]", start.replace(b"\0", b"")) is not None


@dataclass(frozen=True)
class Item:
    """One picture: its name, where it and its annotation are or should be, and whether this is."""

    image_id: str
    picture: Path
    annotation: Path
    annotated: bool = True


@dataclass(frozen=True)
class Trees:
    """Pictures, annotations and lists; mostly one and the same tree."""

    images: Tree
    annotations: Tree
    lists: Tree


def read_trees(root: Path, reading: Reading) -> Trees:
    """List the files of a VOC data set.

    Raises:
        DataError: no such folder, or no VOC data in it.
    """
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder; give the VOC folder with --data, or get one with "
            "`quantdet data download voc2012`"
        )
    whole = read_tree(root)
    images = read_tree(root / reading.images) if reading.images else whole
    annotations = read_tree(root / reading.annotations) if reading.annotations else whole
    found = Trees(images, annotations, whole)
    if not images.pictures or not (annotations.with_suffix(".xml") or image_sets(whole)):
        raise DataError(
            f"{root}: no VOC data here; expected pictures and .xml files side by side, or in "
            "folders such as JPEGImages and Annotations, or images and annotations"
        )
    return found


def _not_used(root: Path, others: Mapping[str, str], code: str) -> Iterator[Problem]:
    """Yield a note for each file that another one stands for."""
    for file, known in others.items():
        # A link that gives a folder the usual name makes no other file.
        if not (root / file).samefile(root / known):
            reason = f"is not used: {known} has the same name and is used"
            yield Problem(root / file, code, reason, "warning")


def _rank(file: str) -> tuple[bool, int]:
    """Return what of several pictures of one name comes first: none among annotations, a mask."""
    folders = file.lower().split("/")[:-1]
    return any(folder in ANNOTATION_FOLDERS for folder in folders), suffix_rank(file)


class VocFiles:
    """The files of a VOC data set, and what belongs to what."""

    def __init__(self, root: Path, trees: Trees) -> None:
        self._trees = trees
        self._refuse_several(root)
        self.pictures: dict[Place, str] = {}
        twins: dict[str, str] = {}
        for file in sorted(trees.images.pictures, key=_rank):
            known = self.pictures.setdefault(place_of(file), file)
            if known != file:
                twins[file] = known
        pairs = pair_files(self.pictures.values(), trees.annotations.with_suffix(".xml"))
        self._xml_of, self.lone_xml = pairs.annotation_of, pairs.lone
        masks = find_masks(self.pictures.values(), self._xml_of)
        for file in (file for files in masks.values() for file in files):
            del self.pictures[place_of(file)]
        self._index = FileIndex(trees.images.root, list(self.pictures.values()))
        self.notes = [
            *_not_used(trees.images.root, twins, "picture_not_used"),
            *_not_used(trees.annotations.root, pairs.rivals, "annotation_not_used"),
            *note_masks(trees.images.root, masks),
        ]
        self._match_by_content()
        keys = [place_of(file).key for file in self.pictures.values()]
        self._prefix = common_prefix(keys)

    @property
    def folder(self) -> Path:
        """The data set itself, which may be some folders below the root given."""
        return self._trees.lists.root / self._below

    @property
    def _below(self) -> str:
        lists = image_sets(self._trees.lists)
        return re.split(r"(?i)(?:^|/)imagesets/", lists[0])[0] if lists else self._prefix

    def _refuse_several(self, root: Path) -> None:
        """Years of a VOCdevkit have lists of one name, and pictures of one name."""
        lists = image_sets(self._trees.lists)
        several = sorted({re.split(r"(?i)(?:^|/)imagesets/", file)[0] for file in lists})
        if len(several) > 1:
            more = ", ..." if len(several) > _SHOWN else ""
            names = ", ".join(str(root / folder) for folder in several[:_SHOWN]) + more
            raise DataError(f"{root}: holds several data sets, name one of them: {names}")

    def _match_by_content(self) -> None:
        """Find the pictures of the other annotations by the <filename> inside."""
        left, self.lone_xml = self.lone_xml, []
        for xml in left:
            if not is_voc_xml(self._path(xml)):
                reason = "is not used: no VOC annotation, and no picture has its name"
                note = Problem(self._path(xml), "annotation_not_used", reason, "warning")
                self.notes.append(note)
                continue
            text = next(self._texts(xml, "filename"), "")
            place = place_of(xml)
            picture = find_entry(self._index, text, place.split) if text else None
            if (
                picture is not None
                and picture not in self._xml_of
                and place.may_share(place_of(picture))
            ):
                self._xml_of[picture] = xml
            else:
                self.lone_xml.append(xml)

    def _path(self, xml: str) -> Path:
        return self._trees.annotations.root / xml

    def item(self, picture: str) -> Item:
        """Return a picture that is there."""
        xml = self._xml_of.get(picture)
        path = self._trees.images.root / picture
        annotation = self._expected_xml(path) if xml is None else self._path(xml)
        image_id = place_of(picture).key.removeprefix(self._prefix)
        return Item(image_id, path, annotation, annotated=xml is not None)

    def lists(self) -> SplitLists:
        """Return the splits of the lists, if there are any."""
        tree = self._trees.lists
        in_sets = [tree.root / file for file in image_sets(tree)]
        others = split_lists(tree, self._index)
        used = in_sets or nearest_lists(others)
        found = read_lists(used, self._classes)
        notes = [*unused_lists(others, used, "other lists count"), *found.notes]
        if not used:
            notes += unread_annotations(tree, "the .xml files")
        return SplitLists(found.entries, tuple(notes), found.files)

    def _classes(self) -> set[str]:
        return {*VOC_CLASSES, *self._mapped_classes, *self._annotated_classes}

    @cached_property
    def _mapped_classes(self) -> set[str]:
        tree = self._trees.lists
        maps = [f for f in tree.files if f.rpartition("/")[2].lower() in _LABEL_MAPS]
        return {name for file in maps for name in read_label_map(tree.root / file)}

    @cached_property
    def _annotated_classes(self) -> set[str]:
        files = self._trees.annotations.with_suffix(".xml")
        return {name for file in files for name in self._texts(file, "name")}

    def _texts(self, xml: str, tag: str) -> Iterator[str]:
        """Yield what is in the elements called ``tag``, whether the XML is whole or not."""
        try:
            content = self._path(xml).read_bytes()
        except OSError:
            return
        for text in re.findall(rf"<{tag}>([^<]+)</{tag}>".encode(), content):
            yield text.decode("utf-8", "replace").strip()

    def split_by_lists(self, lists: SplitLists) -> tuple[dict[str, list[Item]], list[Problem]]:
        """Return split → pictures, and a note on those in no list."""
        splits: dict[str, list[Item]] = {}
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

    def _missing(self, line: str) -> Item:
        """Return a picture that is listed only; it should be beside the others."""
        name = PurePosixPath(clean_name(line.split(maxsplit=1)[0])).name
        xml = FileIndex(Path(), self.lone_xml).find_stem(name)
        beside = next(iter(self.pictures.values())).rpartition("/")[0]
        suffixed = name if "." in name[-5:] else f"{name}.jpg"
        picture = self._trees.images.root / beside / suffixed
        if is_file(picture):  # one of several of this name
            picture = self._trees.images.root / f"{name} (in several folders)"
        annotation = self._path(xml) if xml else self._expected_xml(picture)
        return Item(PurePosixPath(name).stem, picture, annotation, annotated=xml is not None)

    def _expected_xml(self, picture: Path) -> Path:
        """Return where the annotation of a picture should be: with those of its neighbours."""
        folder = self._folders.get(picture.parent, picture.parent)
        return folder / f"{picture.stem}.xml"

    @cached_property
    def _folders(self) -> dict[Path, Path]:
        """Folder of pictures → folder of their annotations."""
        root = self._trees.images.root
        return {(root / p).parent: self._path(x).parent for p, x in self._xml_of.items()}

    def split_by_folders(self) -> tuple[dict[str, list[Item]], list[Problem]]:
        """Return split → pictures by the folders they or their annotations are in."""
        splits: dict[str, list[Item]] = {}
        for picture in sorted(self.pictures.values()):
            xml = self._xml_of.get(picture, "")
            split = place_of(picture).split or place_of(xml).split
            splits.setdefault(split or UNSPLIT, []).append(self.item(picture))
        for xml in self.lone_xml:
            splits.setdefault(place_of(xml).split or UNSPLIT, []).append(self._without_picture(xml))
        for items in splits.values():
            items.sort(key=lambda item: item.image_id)
        return settle_loose(splits, self.folder)

    def _without_picture(self, xml: str) -> Item:
        key = place_of(xml).key
        annotation = self._path(xml)
        folders = {xmls: pictures for pictures, xmls in self._folders.items()}
        picture = folders.get(annotation.parent, annotation.parent) / f"{annotation.stem}.jpg"
        return Item(key.removeprefix(self._prefix), picture, annotation)
