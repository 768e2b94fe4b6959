"""Load a data set, whatever its format, and vouch for every sample in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from quantdet.data.classes import ClassChoice
from quantdet.data.digest import digest_files
from quantdet.data.formats import AUTO, find_format
from quantdet.data.labels import check_labels, discover_labels, read_label_file
from quantdet.data.records import SEARCHED, Listing, Problem, Reading, Record
from quantdet.data.sample import Dataset, ObjectAnnotation, Sample
from quantdet.data.splitting import divide
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick

_SKIP = "leave such samples out with --skip-bad (skip_bad=True)"
_REMEDIES = {
    "missing_picture": "restore it, or take its id off the split lists",
    "missing_annotation": "restore it, or take its id off the split lists",
    "broken_picture": "replace it, or take its id off the split lists",
}


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
    progress: Tick = no_tick,
) -> Dataset:
    """Read annotations and splits; pictures are not decoded yet.

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
        progress: called with (pictures done, all pictures).

    Raises:
        ConfigError: unknown format.
        DataError: folder or split missing, empty split, or a faulty sample; the message names
            the file, the reason and the remedy.
    """
    listing = divide(read_listing(Path(root), format, progress, reading), split_seed)
    if choice is not None:
        listing = choice.apply(listing)
    wanted = _wanted_splits(listing, splits)
    names = resolve_labels(listing, labels)
    if listing.problems and not skip_bad:
        raise DataError(f"{listing.problems[0]}; {_remedy(listing.problems[0], names)}")
    skipped: dict[str, None] = dict.fromkeys(map(str, listing.problems))
    loaded: dict[str, tuple[Sample, ...]] = {}
    for split, records in wanted.items():
        loaded[split] = tuple(_good_samples(records, names, skip_bad, skipped))
        if not loaded[split]:
            raise DataError(
                f"{listing.root}: split {split!r} has no usable sample, all "
                f"{len(records)} were left out; first: {next(iter(skipped))}"
            )
    return Dataset(listing.root, names, loaded, tuple(skipped))


def read_listing(
    root: Path, format: str, progress: Tick = no_tick, reading: Reading = SEARCHED
) -> Listing:
    """Read a data set with all its faults, and with the splits that it has itself.

    Raises:
        ConfigError: unknown format.
        DataError: the folder is not a data set of this format.
    """
    return find_format(root, format, reading).read(root, progress, reading)


def resolve_labels(listing: Listing, labels: Path | Sequence[str] | None) -> tuple[str, ...]:
    """Return the class names: those given, else the format's list, else those found.

    Raises:
        DataError: label file or names not usable, or no object anywhere.
    """
    if isinstance(labels, (str, Path)):
        return read_label_file(Path(labels))
    if labels is not None:
        return check_labels(labels, "labels")
    if listing.labels:
        return check_labels(listing.labels, str(listing.root))
    samples = (r.sample for records in listing.splits.values() for r in records)
    found = {item.label for sample in samples if sample is not None for item in sample.objects}
    if not found:
        raise DataError(
            f"{listing.root}: no annotated object in any split; check the annotations with "
            "`quantdet data check`, or give the classes with a label file"
        )
    return discover_labels(found)


def unknown_classes(record: Record, labels: Sequence[str]) -> list[Problem]:
    """Return a problem for each class of a record that is not a label."""
    if record.sample is None:
        return []
    names = dict.fromkeys(item.label for item in record.sample.objects)
    return [
        Problem(record.annotation_path, "unknown_class", f"class {name!r} is not in the labels")
        for name in names
        if name not in labels
    ]


def fingerprint(dataset: Dataset, progress: Tick = no_tick) -> str:
    """Return a hexadecimal blake2b digest of what is in a data set.

    It covers labels, split names, order, ids, every annotation and all bytes of every
    picture; it does not cover paths or dates, so that a copy has the same fingerprint.

    Raises:
        DataError: a picture is not readable.
    """
    samples = [sample for members in dataset.splits.values() for sample in members]
    digests = digest_files((sample.image_path for sample in samples), progress)
    total = blake2b(digest_size=16)
    total.update(repr(tuple(dataset.labels)).encode())
    for split, members in dataset.splits.items():
        total.update(repr(split).encode())
        for sample in members:
            content = (
                sample.image_id,
                tuple(sample.size_hw),
                sample.annotated,
                [_content(item) for item in sample.objects],
                digests[sample.image_path],
            )
            total.update(repr(content).encode())
    return total.hexdigest()


def _content(item: ObjectAnnotation) -> tuple[object, ...]:
    box = tuple(float(value) for value in item.box_xyxy)
    return (item.label, box, bool(item.difficult), bool(item.truncated), item.pose)


def _wanted_splits(
    listing: Listing, splits: Sequence[str] | None
) -> Mapping[str, tuple[Record, ...]]:
    wanted = list(listing.splits if splits is None else dict.fromkeys(splits))
    for split in wanted:
        if split not in listing.splits:
            available = ", ".join(listing.splits) or "none"
            raise DataError(
                f"{listing.root}: has no split {split!r} (available: {available}); choose one "
                "of these with --set data.train_split, val_split or test_split, or add it (VOC: "
                f"the list ImageSets/Main/{split}.txt)"
            )
        if not listing.splits[split]:
            raise DataError(
                f"{listing.root}: split {split!r} is empty; put picture ids into its list, "
                "or choose another split"
            )
    if not wanted:
        raise DataError(f"{listing.root}: holds no picture; add pictures with annotations")
    return {split: listing.splits[split] for split in wanted}


def _good_samples(
    records: Iterable[Record],
    labels: Sequence[str],
    skip_bad: bool,
    skipped: dict[str, None],
) -> Iterable[Sample]:
    for record in records:
        problems = [*record.problems, *unknown_classes(record, labels)]
        if not problems and record.sample is not None:
            yield record.sample
        elif skip_bad:
            # A picture may be in several splits, e.g. train and trainval; count it once.
            skipped[str(problems[0])] = None
        else:
            raise DataError(f"{problems[0]}; {_remedy(problems[0], labels)}")


def _remedy(problem: Problem, labels: Sequence[str]) -> str:
    if problem.code == "unknown_class":
        known = ", ".join(labels)
        return f"add it to the label file (now: {known}), correct the name, or {_SKIP}"
    return f"{_REMEDIES.get(problem.code, 'correct the file')}, or {_SKIP}"
