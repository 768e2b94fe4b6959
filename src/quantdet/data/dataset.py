"""Load a data set, whatever its format, and vouch for every sample in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from quantdet.data.bounds import keep_within
from quantdet.data.classes import ClassChoice
from quantdet.data.contents import describe_contents
from quantdet.data.findings import Finding
from quantdet.data.formats import AUTO, find_format
from quantdet.data.judging import Judged, Use, judge
from quantdet.data.labels import check_labels, discover_labels, read_label_file
from quantdet.data.pictures import look_at_pictures
from quantdet.data.records import SEARCHED, Listing, Reading
from quantdet.data.sample import Dataset
from quantdet.data.splitting import divide
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick


def load_dataset(  # noqa: PLR0913 - one call with names is the public interface
    root: Path | str,
    *,
    format: str = AUTO,
    labels: Path | Sequence[str] | None = None,
    choice: ClassChoice | None = None,
    split_seed: int = 0,
    skip_bad: bool = False,
    splits: Sequence[str] | None = None,
    reading: Reading = SEARCHED,
    decode: bool = False,
    progress: Tick = no_tick,
) -> Dataset:
    """Read annotations and splits; pictures are decoded only if ``decode`` says so.

    Args:
        root: folder of the data set.
        format: key of ``FORMATS``, or "auto".
        labels: label file, or class names in the order of class ids; None takes the class list
            of the format, or else the classes found in all splits (also in those not asked
            for, so that the order of class ids does not depend on ``splits``).
        choice: classes to rename, merge or leave out.
        split_seed: of the division of a data set that has no splits.
        skip_bad: leave faulty samples out and list them in ``Dataset.skipped``.
        splits: names of the splits wanted; None gives all.
        reading: where pictures and annotations are, and how they are read.
        decode: find broken pictures, and those of another size than their annotation says.
        progress: called with (pictures done, all pictures).

    Raises:
        ConfigError: unknown format.
        DataError: folder or split missing, empty split, or a faulty sample; the message names
            the file, the reason and the remedy.
    """
    use = Use(splits, skip_bad=skip_bad)
    listing = divide(read_listing(Path(root), format, progress, reading), split_seed)
    judged = judge_listing(listing, labels, choice, use)
    return (look_at_pictures(judged, progress)[0] if decode else judged).require()


def judge_listing(
    listing: Listing,
    labels: Path | Sequence[str] | None,
    choice: ClassChoice | None,
    use: Use,
) -> Judged:
    """Choose classes, resolve the labels, and decide what is usable.

    Args:
        listing: as read, divided into splits.
        labels: as of :func:`load_dataset`.
        choice: as of :func:`load_dataset`.
        use: what the data set is read for.

    Raises:
        ConfigError: a class is chosen that there is not.
        DataError: the labels given are not usable.
    """
    found: list[Finding] = []
    if choice is not None:
        whole, listing = listing, choice.apply(listing)
        found += _objects_left_out(whole, listing)
    root = str(listing.root)
    try:
        names = resolve_labels(listing, labels)
        if not names and not use.learn:
            message = "no annotated object in any split"
            remedy = "look at it with `quantdet data check`, or give the classes with a label file"
            found.append(Finding("error", "no_objects", root, message, remedy))
    except DataError as error:
        if labels is not None:
            raise
        names = ()
        reason = str(error).removeprefix(f"{root}: ")
        found.append(Finding("error", "class_names", root, reason))
    judged = judge(listing, names, use)
    return replace(judged, found=(*judged.found, *found))


def _objects_left_out(before: Listing, after: Listing) -> Iterator[Finding]:
    """Yield how many objects a choice of classes leaves out, and how many pictures it empties."""
    pairs = {
        id(old): (len(old.sample.objects), len(new.sample.objects))
        for split, records in before.splits.items()
        for old, new in zip(records, after.splits[split], strict=True)
        if old.sample is not None and new.sample is not None
    }
    count = sum(old - new for old, new in pairs.values())
    emptied = sum(old > new == 0 for old, new in pairs.values())
    if count:
        message = (
            f"{count} objects are left out by data.classes or data.class_map; {emptied} pictures "
            "become background"
        )
        yield Finding("warning", "class_left_out", str(after.root), message, count=count)


def read_listing(
    root: Path, format: str, progress: Tick = no_tick, reading: Reading = SEARCHED
) -> Listing:
    """Read a data set with all its faults, and with the splits that it has itself.

    Raises:
        ConfigError: unknown format.
        DataError: the folder is not a data set of this format.
    """
    listing = find_format(root, format, reading).read(root, progress, reading)
    return keep_within(listing, root, reading)


def resolve_labels(listing: Listing, labels: Path | Sequence[str] | None) -> tuple[str, ...]:
    """Return the class names: those given, else the format's list, else those found.

    Empty if none are found.

    Raises:
        DataError: label file or names not usable.
    """
    if isinstance(labels, (str, Path)):
        return read_label_file(Path(labels))
    if labels is not None:
        return check_labels(labels, "labels")
    if listing.labels:
        return check_labels(listing.labels, str(listing.root))
    samples = (r.sample for records in listing.splits.values() for r in records)
    found = {item.label for sample in samples if sample is not None for item in sample.objects}
    return discover_labels(found)


def fingerprint(dataset: Dataset, progress: Tick = no_tick) -> str:
    """Return a hexadecimal digest of what is in a data set, see ``data.contents``.

    Raises:
        DataError: a picture is not readable.
    """
    return describe_contents(dataset, progress=progress).fingerprint
