"""PASCAL VOC: one XML file a picture, splits as lists of ids or as folders.

Understood are ``.../VOC2012`` itself, a ``VOCdevkit`` with one year in it, and any folder in which
pictures and XML files of one name are side by side or in folders of their own, e.g. ``images`` and
``annotations``, with or without folders for train, val and test above or below (``folders.py``),
and lists as ``lists.py`` reads them.

Source: "The PASCAL Visual Object Classes Challenge 2012 Development Kit", section 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from quantdet.data.formats.folders import (
    clean_name,
    is_file,
    read_tree,
    split_name,
)
from quantdet.data.formats.lists import image_sets
from quantdet.data.formats.voc_files import Item, VocFiles, is_voc_xml, read_trees
from quantdet.data.formats.voc_xml import parse_annotation, write_annotation
from quantdet.data.images import picture_size
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

_LOOKED_AT = 20
# In these a picture needs an annotation; other splits may be there to predict on.
_LEARNED = ("train", "val", "trainval", UNSPLIT)


def is_voc(root: Path) -> bool:
    """Return whether ``root`` is a VOC data set; of several years in it one must be named."""
    if not root.is_dir():
        return False
    tree = read_tree(root)
    looked_at = (root / file for file in tree.with_suffix(".xml")[:_LOOKED_AT])
    return bool(tree.pictures) and (bool(image_sets(tree)) or any(map(is_voc_xml, looked_at)))


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
    files = VocFiles(root, read_trees(root, reading))
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


class _Reader:
    """Reads each picture's annotation once, whatever the number of its splits."""

    def __init__(self, reading: Reading, progress: Tick, *, listed: bool) -> None:
        self._reading = reading
        self._progress = progress
        self._listed = listed
        self._records: dict[tuple[Path, bool], Record] = {}

    def read(self, members: Mapping[str, Sequence[Item]]) -> dict[str, tuple[Record, ...]]:
        total = len({item.picture for items in members.values() for item in items})
        splits = {}
        for split, items in members.items():
            found = sum(item.annotated for item in items)
            annotated = split_name(split) in _LEARNED or split in _LEARNED
            annotated = annotated or 2 * found >= len(items)
            splits[split] = tuple(self._once(item, annotated, total) for item in items)
        return splits

    def _once(self, item: Item, annotated: bool, total: int) -> Record:
        key = (item.picture, annotated)
        if key not in self._records:
            self._records[key] = self._read(item) if annotated else _unannotated(item)
            self._progress(min(len(self._records), total), total)
        return self._records[key]

    def _read(self, item: Item) -> Record:
        problems: list[Problem] = []
        if not is_file(item.picture):
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

    def _without_annotation(self, item: Item) -> Record:
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


def _other_name(item: Item, file_name: str) -> Iterator[Problem]:
    """Yield a warning if the annotation says that it is of another picture."""
    stem = clean_name(file_name).rpartition("/")[2]
    if stem and item.picture.stem not in (stem, stem.rpartition(".")[0]):
        reason = f"<filename> says {file_name!r}, but it is read with {item.picture.name}"
        yield Problem(item.annotation, "other_filename", reason, "warning")


def _no_picture(item: Item, listed: bool) -> Problem:
    reason = "picture not found, but listed"
    if not listed:
        reason = f"picture not found, but there is {item.annotation.name}"
    return Problem(item.picture, "missing_picture", reason)


def _unannotated(item: Item) -> Record:
    sample, problems = None, []
    try:
        if is_file(item.picture):
            size = picture_size(item.picture)
            sample = Sample(item.image_id, item.picture, size, annotated=False)
        else:
            problems.append(_no_picture(item, listed=True))
    except DataError as error:
        reason = str(error).removeprefix(f"{item.picture}: ")
        problems.append(Problem(item.picture, "broken_picture", reason))
    return Record(item.image_id, item.picture, item.picture, sample, tuple(problems), False)
