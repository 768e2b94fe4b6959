"""Look at every file of a data set and say all that is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from PIL import ExifTags, Image

from quantdet.data.dataset import read_listing, resolve_labels, unknown_classes
from quantdet.data.digest import digest_files, map_threads
from quantdet.data.formats import AUTO
from quantdet.data.images import read_image
from quantdet.data.records import Listing, Problem, Record
from quantdet.data.splitting import divide
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick

_NESTED = ({"train", "trainval"}, {"val", "trainval"})
_APART = {"train", "val", "trainval", "test"}


@dataclass(frozen=True)
class Finding:
    """One thing to know about a data set.

    Attributes:
        severity: "error" stops training (unless bad samples are skipped), "warning" does not.
        code: short name of the kind of finding, e.g. "broken_xml".
        file: the file or folder at fault.
        message: what is wrong and what to do.
    """

    severity: Literal["error", "warning"]
    code: str
    file: str
    message: str


@dataclass(frozen=True)
class SplitSummary:
    """What a split holds, counted over usable objects.

    Attributes:
        pictures: ids in the list.
        annotated: False for a split without annotations.
        objects: annotated objects.
        difficult: objects marked difficult.
        truncated: objects marked truncated.
        classes: objects of each class, in label order.
    """

    pictures: int
    annotated: bool
    objects: int
    difficult: int
    truncated: int
    classes: Mapping[str, int]


@dataclass(frozen=True)
class CheckResult:
    """Everything found; ``ok`` says whether the data is ready for training."""

    root: Path
    labels: tuple[str, ...]
    splits: Mapping[str, SplitSummary]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if there is no error (warnings do not count)."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stop training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {
            "root": str(self.root),
            "ok": self.ok,
            "labels": list(self.labels),
            "splits": {name: asdict(summary) for name, summary in self.splits.items()},
            "findings": [asdict(finding) for finding in self.findings],
        }


def check_dataset(
    root: Path | str,
    *,
    format: str = AUTO,
    labels: Path | Sequence[str] | None = None,
    progress: Tick = no_tick,
) -> CheckResult:
    """Read every annotation, decode every picture, compare the splits.

    Args:
        root: folder of the data set.
        format: key of ``FORMATS``, or "auto".
        labels: label file or class names; None takes the classes found.
        progress: called with (pictures decoded, all pictures).

    Raises:
        ConfigError: unknown format.
        DataError: the folder is no data set at all, or the label file is not usable.
    """
    root = Path(root)
    listing = divide(read_listing(root, format))
    findings = [*_empty_splits(listing), *map(_finding, listing.problems)]
    try:
        names = resolve_labels(listing, labels)
    except DataError as error:
        if labels is not None:
            raise
        names = ()
        findings.append(Finding("error", "no_objects", str(listing.root), str(error)))
    # One picture may be listed in several splits; look at it once.
    records = {id(r): r for members in listing.splits.values() for r in members}
    unique = list(records.values())
    for record in unique:
        problems = [*record.problems, *(unknown_classes(record, names) if names else ())]
        findings += [_finding(problem) for problem in problems]
    for found in map_threads(_check_picture, unique, progress):
        findings += found
    findings += _duplicates(listing)
    splits = {split: _summary(members, names) for split, members in listing.splits.items()}
    findings += _untrained_classes(listing.root, splits)
    return CheckResult(listing.root, names, splits, tuple(dict.fromkeys(findings)))


def _finding(problem: Problem) -> Finding:
    return Finding("error", problem.code, str(problem.file), problem.reason)


def _empty_splits(listing: Listing) -> Iterator[Finding]:
    for split, members in listing.splits.items():
        if not members:
            message = f"split {split!r} is empty; put picture ids into its list or remove it"
            yield Finding("error", "empty_split", str(listing.root), message)
    if not listing.splits:
        yield Finding("error", "empty_split", str(listing.root), "holds no picture at all")


def _check_picture(record: Record) -> list[Finding]:
    path = record.image_path
    if any(p.code in ("missing_picture", "broken_picture") for p in record.problems):
        return []
    try:
        height, width = read_image(path).shape[:2]
        with Image.open(path) as image:
            orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DataError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return [Finding("error", "broken_picture", str(path), reason)]
    if record.sample is None or not record.sample.annotated:
        return []
    turned = f"; EXIF orientation {orientation} turns the picture" if orientation > 1 else ""
    if (height, width) != tuple(record.sample.size_hw):
        noted = f"{record.sample.size_hw[1]}x{record.sample.size_hw[0]}"
        message = (
            f"says {noted} (width x height), but the picture seen upright is {width}x{height}"
            f"{turned}; correct size and boxes, or store the picture upright"
        )
        return [Finding("error", "size_mismatch", str(record.annotation_path), message)]
    if turned:
        message = (
            f"EXIF orientation {orientation} turns or mirrors the picture; make sure that the "
            "boxes were drawn on the upright picture, or store it upright"
        )
        return [Finding("warning", "exif_rotation", str(path), message)]
    return []


def _duplicates(listing: Listing) -> Iterator[Finding]:
    present = [
        r.image_path
        for members in listing.splits.values()
        for r in members
        if r.image_path.is_file()
    ]
    digests = digest_files(present)
    for first, second in combinations(listing.splits, 2):
        if {first, second} in _NESTED:
            continue
        # A list of the user's own may well be a part of another one.
        severity: Literal["error", "warning"] = "error" if {first, second} <= _APART else "warning"
        # Two folders may well hold different pictures of one name.
        paths = {record.image_path for record in listing.splits[first]}
        by_content = {digests.get(r.image_path, ""): r for r in listing.splits[first]}
        for record in listing.splits[second]:
            file = str(record.image_path)
            if record.image_path in paths:
                message = f"is in split {first!r} and in {second!r}; take it off one of the lists"
                yield Finding(severity, "duplicate_id", file, message)
                continue
            twin = by_content.get(digests.get(record.image_path, "absent"))
            if twin is not None:
                message = (
                    f"split {second!r} has the very picture that is {twin.image_id!r} in "
                    f"{first!r}; take one of them off its list"
                )
                yield Finding("warning", "duplicate_picture", file, message)


def _summary(members: Iterable[Record], labels: Sequence[str]) -> SplitSummary:
    records = list(members)
    samples = [record.sample for record in records if record.sample is not None]
    objects = [item for sample in samples for item in sample.objects]
    counts = Counter(item.label for item in objects)
    return SplitSummary(
        pictures=len(records),
        annotated=not samples or any(sample.annotated for sample in samples),
        objects=len(objects),
        difficult=sum(item.difficult for item in objects),
        truncated=sum(item.truncated for item in objects),
        classes={name: counts[name] for name in labels},
    )


def _untrained_classes(root: Path, splits: Mapping[str, SplitSummary]) -> Iterator[Finding]:
    train = splits.get("train")
    if train is None:
        return
    for name, count in train.classes.items():
        elsewhere = [split for split, summary in splits.items() if summary.classes[name]]
        if count == 0 and elsewhere:
            message = (
                f"class {name!r} is in {', '.join(elsewhere)}, but has no object in 'train'; add "
                "pictures of it to train, or it cannot be learned"
            )
            yield Finding("warning", "class_not_in_train", str(root), message)
