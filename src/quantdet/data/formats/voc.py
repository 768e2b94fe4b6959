"""PASCAL VOC: one XML file a picture, splits as lists of ids.

Layouts understood: ``.../VOC2012`` itself, a ``VOCdevkit`` with one year in it, a folder with
only ``Annotations`` and ``JPEGImages``, and a flat folder with pictures and XML side by side.

Source: "The PASCAL Visual Object Classes Challenge 2012 Development Kit", section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantdet.data.formats.voc_xml import parse_annotation, write_annotation
from quantdet.data.images import IMAGE_SUFFIXES, picture_size
from quantdet.data.records import UNSPLIT, Listing, Problem, Record, read_text
from quantdet.data.sample import Sample
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import write_text

STANDARD_SPLITS = ("train", "val", "trainval", "test")
_CLASS_LIST_ENDINGS = tuple(f"_{name}" for name in STANDARD_SPLITS)


@dataclass(frozen=True)
class VocLayout:
    """Where the parts of one VOC data set are; all three may be one flat folder."""

    root: Path
    annotations: Path
    images: Path
    lists: Path


def read_voc(root: Path, progress: Tick = no_tick) -> Listing:
    """Read every split of a VOC data set.

    Splits are the lists in ``ImageSets/Main`` (lists of one class such as
    ``aeroplane_train.txt`` are passed over; a second column is ignored). Without lists
    all pictures are in one split, :data:`quantdet.data.records.UNSPLIT`.

    A split of which fewer than half of the pictures have an annotation counts as one without
    annotations: the public VOC2012 test has XML for a few hundred of its 10,991 pictures, and
    those name only the persons.

    Args:
        root: one of the layouts above.
        progress: called with (pictures done, all pictures).

    Raises:
        DataError: not a VOC folder, or lists not readable.
    """
    layout = find_layout(root)
    images = _index(layout.images, IMAGE_SUFFIXES)
    annotations = _index(layout.annotations, (".xml",))
    listed = _read_lists(layout.lists)
    if not listed:
        listed = {UNSPLIT: sorted({*images, *annotations})}
    ids = dict.fromkeys(i for ids in listed.values() for i in ids)
    records: dict[tuple[str, bool], Record] = {}
    splits: dict[str, tuple[Record, ...]] = {}
    for name, members in listed.items():
        annotated = 2 * sum(i in annotations for i in members) >= len(members)
        split = []
        for image_id in members:
            key = (image_id, annotated)
            if key not in records:
                annotation = annotations.get(image_id, layout.annotations / f"{image_id}.xml")
                picture = images.get(image_id, layout.images / f"{image_id}.jpg")
                records[key] = _read_record(image_id, picture, annotation if annotated else None)
                progress(min(len(records), len(ids)), len(ids))
            split.append(records[key])
        splits[name] = tuple(split)
    return Listing(layout.root, splits)


def is_voc(root: Path) -> bool:
    """Return whether ``root`` is a VOC data set; of several years in it one must be named."""
    return root.is_dir() and (bool(_years(root)) or _is_flat(root))


def find_layout(root: Path) -> VocLayout:
    """Return where the VOC data set under ``root`` is.

    Raises:
        DataError: folder missing, no VOC data in it, or several years in it.
    """
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder; give the VOC folder with --data, or get one with "
            "`quantdet data download voc2012`"
        )
    years = _years(root)
    if len(years) > 1:
        names = ", ".join(str(p) for p in years)
        raise DataError(f"{root}: holds several data sets, name one of them: {names}")
    if years:
        return _standard_layout(years[0])
    if _is_flat(root):
        return VocLayout(root, root, root, root / "ImageSets" / "Main")
    raise DataError(
        f"{root}: no VOC data here; expected the folders Annotations and JPEGImages (as in "
        "VOCdevkit/VOC2012), or pictures and .xml files side by side"
    )


def _years(root: Path) -> list[Path]:
    """Return the standard data sets at ``root``: itself, or those of a VOCdevkit."""
    for folders in ([root], _folders(root), _folders(root / "VOCdevkit")):
        found = [path for path in folders if (path / "JPEGImages").is_dir()]
        if found:
            return found
    return []


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _is_flat(root: Path) -> bool:
    suffixes = {path.suffix.lower() for path in root.iterdir()}
    return ".xml" in suffixes and bool(suffixes.intersection(IMAGE_SUFFIXES))


def write_voc(folder: Path, labels: Sequence[str], splits: Mapping[str, Sequence[Sample]]) -> int:
    """Write Annotations and ImageSets/Main; a ``Writer``."""
    layout = _standard_layout(folder)
    for split, samples in splits.items():
        for sample in samples:
            if sample.annotated:
                target = layout.annotations / f"{sample.image_id}.xml"
                write_annotation(target, sample)
        ids = "".join(f"{sample.image_id}\n" for sample in samples)
        write_text(layout.lists / f"{split}.txt", ids)
    return 0


def _standard_layout(root: Path) -> VocLayout:
    return VocLayout(root, root / "Annotations", root / "JPEGImages", root / "ImageSets" / "Main")


def _index(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return stem → file; where a stem has several suffixes the earlier one in the list wins."""
    found: dict[str, Path] = {}
    if not folder.is_dir():
        return found
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        # Names with a leading dot are droppings such as macOS' "._000012.jpg".
        if suffix not in suffixes or path.name.startswith("."):
            continue
        known = found.get(path.stem)
        if known is None or suffixes.index(suffix) < suffixes.index(known.suffix.lower()):
            found[path.stem] = path
    return found


def _read_lists(folder: Path) -> dict[str, list[str]]:
    if not folder.is_dir():
        return {}
    files = {
        p.stem: p
        for p in sorted(folder.glob("*.txt"))
        if not p.stem.endswith(_CLASS_LIST_ENDINGS) and not p.name.startswith(".")
    }
    names = [n for n in STANDARD_SPLITS if n in files]
    names += [n for n in files if n not in STANDARD_SPLITS]
    return {name: _read_list(files[name]) for name in names}


def _read_list(path: Path) -> list[str]:
    lines = read_text(path, "split list").splitlines()
    return list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))


def _read_record(image_id: str, picture: Path, annotation: Path | None) -> Record:
    problems: list[Problem] = []
    if not picture.is_file():
        problems.append(Problem(picture, "missing_picture", "picture not found, but listed"))
    if annotation is None:
        sample = None
        if not problems:
            sample = _unannotated(image_id, picture, problems)
        return Record(image_id, picture, picture, sample, tuple(problems), False)
    parsed = parse_annotation(annotation, lambda: picture_size(picture))
    problems += parsed.problems
    sample = None
    if parsed.size_hw is not None:
        sample = Sample(image_id, picture, parsed.size_hw, parsed.objects)
    return Record(image_id, picture, annotation, sample, tuple(problems), parsed.size_in_file)


def _unannotated(image_id: str, picture: Path, problems: list[Problem]) -> Sample | None:
    try:
        return Sample(image_id, picture, picture_size(picture), annotated=False)
    except DataError as error:
        reason = str(error).removeprefix(f"{picture}: ")
        problems.append(Problem(picture, "broken_picture", reason))
        return None
