"""What of a data set is usable, and what stops training: one place for `train` and `data check`.

Loading raises the first error (:meth:`Judged.require`), checking lists them all.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quantdet.data.findings import Finding, Severity, by_kind, from_note, from_problem, left_out
from quantdet.data.objects import merge_repeats, odd_boxes, similar_names
from quantdet.data.records import Listing, Problem, Record
from quantdet.data.sample import Dataset, Sample
from quantdet.errors import DataError, DataWarning


@dataclass(frozen=True)
class Use:
    """What a data set is read for.

    Attributes:
        splits: names of those that must be there; None takes all there are.
        if_there: names of those that are taken where the data has them.
        learn: the split to train on, "" if nothing is to be learned.
        hold_out: the split that validates while training.
        skip_bad: leave faulty samples out instead of stopping.
    """

    splits: Sequence[str] | None = None
    if_there: Sequence[str] = ()
    learn: str = ""
    hold_out: str = ""
    skip_bad: bool = False

    def chosen(self, listing: Listing) -> list[str]:
        """Return the splits that are used, also those that ``listing`` lacks."""
        if self.splits is None:
            return list(listing.splits)
        there = [name for name in self.if_there if name in listing.splits]
        return list(dict.fromkeys((*self.splits, *there)))


@dataclass(frozen=True)
class Judged:
    """A data set with everything that is to be known about it.

    Attributes:
        root: its folder.
        labels: class names in the order of class ids; empty where none were found.
        splits: used split → its usable samples.
        listed: split → its records, also of splits that are not used.
        use: what the data set is read for.
        found: what was found in files; what follows from the samples is in :attr:`findings`.
        skipped: "file: reason" for every sample left out because of ``use.skip_bad``.
    """

    root: Path
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Sample, ...]]
    listed: Mapping[str, tuple[Record, ...]]
    use: Use
    found: tuple[Finding, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found, in the order in which loading stops at it."""
        return tuple(dict.fromkeys((*self.found, *_of_samples(self))))

    def require(self) -> Dataset:
        """Return the data set, and warn of each kind of warning.

        Raises:
            DataError: the first error.
        """
        self.raise_first()
        for kind in by_kind(self.findings):
            warnings.warn(str(kind), DataWarning, stacklevel=3)
        return self.dataset

    def raise_first(self) -> None:
        """Stop at the first error.

        Raises:
            DataError: it.
        """
        for finding in self.findings:
            if finding.severity == "error":
                raise DataError(str(finding))

    @property
    def dataset(self) -> Dataset:
        """What is usable, errors or not."""
        return Dataset(self.root, self.labels, self.splits, self.skipped)

    def join(self, more: Judged, split: str) -> Judged:
        """Return this with all samples of ``more`` added to one split."""
        added = [sample for members in more.splits.values() for sample in members]
        records = [record for members in more.listed.values() for record in members]
        return replace(
            self,
            splits={**self.splits, split: (*self.splits[split], *added)},
            listed={**self.listed, split: (*self.listed[split], *records)},
            found=(*self.found, *more.findings),
            skipped=(*self.skipped, *more.skipped),
        )


def judge(listing: Listing, labels: Sequence[str], use: Use) -> Judged:
    """Decide what of a listing is usable.

    Args:
        listing: as read, divided into splits, its classes chosen.
        labels: class names in the order of class ids; empty where there are none.
        use: what for.
    """
    chosen = use.chosen(listing)
    tell = left_out if use.skip_bad else from_problem
    found = [*map(tell, listing.problems), *map(from_note, listing.notes)]
    found += _missing_splits(listing, chosen)
    skipped = dict.fromkeys(map(str, listing.problems))
    faults = _Faults(listing, labels, use)
    splits: dict[str, tuple[Sample, ...]] = {}
    for split in chosen:
        good, bad = faults.sort(listing.splits.get(split, ()))
        found += [tell(problem) for problems in bad for problem in problems]
        # A picture may be in several splits, e.g. train and trainval; it counts once.
        skipped |= dict.fromkeys(str(problems[0]) for problems in bad)
        samples, repeats = merge_repeats(good, split)
        found += repeats
        if good or bad:
            splits[split] = samples
    found += faults.elsewhere(chosen)
    names, left = tuple(labels), tuple(skipped) if use.skip_bad else ()
    return Judged(listing.root, names, splits, listing.splits, use, tuple(found), left)


class _Faults:
    """Why records cannot be used."""

    def __init__(self, listing: Listing, labels: Sequence[str], use: Use) -> None:
        self._listing = listing
        self._labels = tuple(labels)
        # Annotations of nobody's picture may be those of a picture that seems to be empty.
        lost = {problem.file for problem in listing.problems if problem.code == "unknown_picture"}
        self._doubtful = lost if use.skip_bad else set()

    def sort(self, records: Iterable[Record]) -> tuple[list[Sample], list[list[Problem]]]:
        """Return the samples that can be used, and what is wrong with each of the others."""
        good: list[Sample] = []
        bad: list[list[Problem]] = []
        for record in records:
            problems = self._of(record)
            if problems:
                bad.append(problems)
            elif record.sample is not None:
                good.append(record.sample)
        return good, bad

    def _of(self, record: Record) -> list[Problem]:
        return [*record.problems, *self._unknown_classes(record), *self._lost(record)]

    def elsewhere(self, chosen: Sequence[str]) -> Iterator[Finding]:
        """Yield faults of pictures that are only in splits which nobody uses."""
        used = {id(r) for split in chosen for r in self._listing.splits.get(split, ())}
        for split, records in self._listing.splits.items():
            for record in records:
                for problem in () if id(record) in used else self._of(record):
                    reason = f"{problem.reason} (in split {split!r}, which is not used)"
                    yield Finding("warning", problem.code, str(problem.file), reason)

    def _unknown_classes(self, record: Record) -> Iterator[Problem]:
        if record.sample is None or not self._labels:
            return
        for name in dict.fromkeys(item.label for item in record.sample.objects):
            if name not in self._labels:
                reason = f"class {name!r} is not in the labels ({', '.join(self._labels)})"
                yield Problem(record.annotation_path, "unknown_class", reason)

    def _lost(self, record: Record) -> Iterator[Problem]:
        if record.sample is None or record.sample.objects:
            return
        if record.annotation_path in self._doubtful:
            reason = (
                f"has no object, but {record.annotation_path.name} has annotations that belong to "
                "no picture"
            )
            yield Problem(record.image_path, "lost_annotations", reason)


def _missing_splits(listing: Listing, chosen: Sequence[str]) -> Iterator[Finding]:
    root = str(listing.root)
    if not listing.splits or not chosen:
        message = "holds no picture; add pictures with annotations"
        yield Finding("error", "empty_split", root, message)
        return
    for split in chosen:
        if split not in listing.splits:
            message = f"has no split {split!r} (available: {', '.join(listing.splits)})"
            remedy = (
                "choose one of these with --set data.train_split, val_split or test_split, or add "
                f"it (VOC: the list ImageSets/Main/{split}.txt)"
            )
            yield Finding("error", "missing_split", root, message, remedy)
    for split, records in listing.splits.items():
        if not records:
            remedy = "put picture ids into its list, or choose another split"
            severity: Severity = "error" if split in chosen else "warning"
            yield Finding(severity, "empty_split", root, f"split {split!r} is empty", remedy)


def _of_samples(judged: Judged) -> Iterator[Finding]:
    """Yield what follows from the usable samples."""
    for split, samples in judged.splits.items():
        yield from _of_split(judged, split, samples)
    if not judged.use.learn:
        return
    yield from odd_boxes(judged.root, judged.splits.get(judged.use.learn, ()))
    yield from similar_names(judged.root, judged.dataset)
    yield from _untrained_classes(judged)
    yield from _same_files(judged)


def _of_split(judged: Judged, split: str, samples: Sequence[Sample]) -> Iterator[Finding]:
    use, root = judged.use, str(judged.root)
    records = judged.listed[split]
    if not samples and use.skip_bad:  # without it there is an error of every sample
        message = f"split {split!r} has no usable sample, all {len(records)} were left out"
        first = f"first: {judged.skipped[0]}"
        yield Finding("error", "no_usable_sample", root, message, first)
    if not samples or not use.learn:
        return
    if not any(sample.annotated for sample in samples):
        trained = split in (use.learn, use.hold_out)
        message = f"split {split!r} has no annotated picture"
        remedy = _unannotated_remedy(use, split, records)
        yield Finding("error" if trained else "warning", "unannotated_split", root, message, remedy)
    elif not any(not item.difficult for sample in samples for item in sample.objects):
        message = f"split {split!r} has no object to learn in any of {len(samples)} pictures"
        remedy = f"annotations were looked for in files such as {records[0].annotation_path}"
        severity: Severity = "error" if split == use.learn else "warning"
        yield Finding(severity, "no_objects", root, message, remedy)


def _unannotated_remedy(use: Use, split: str, records: Sequence[Record]) -> str:
    missing = f"restore the annotations of its {len(records)} pictures"
    if split == use.learn:
        return f"{missing}, or choose another split with --set data.train_split=NAME"
    if split == use.hold_out:
        return f"{missing}, or leave it out with --set data.val_split=none"
    return "nothing can be measured on it"


def _untrained_classes(judged: Judged) -> Iterator[Finding]:
    names = {
        split: {item.label for sample in samples for item in sample.objects}
        for split, samples in judged.splits.items()
    }
    learned = names.get(judged.use.learn)
    if learned is None:
        return
    for name in judged.labels:
        others = [split for split, found in names.items() if name in found]
        if others and name not in learned:
            message = f"class {name!r} is in {', '.join(others)}, but not in {judged.use.learn!r}"
            remedy = "add training pictures of it, or it cannot be learned"
            yield Finding("warning", "class_not_in_train", str(judged.root), message, remedy)


def _same_files(judged: Judged) -> Iterator[Finding]:
    """Yield pictures that are in two of the splits; VOC's trainval may be one of them."""
    seen: dict[Path, str] = {}
    for split, samples in judged.splits.items():
        for sample in samples:
            first = seen.setdefault(sample.image_path, split)
            if first != split:
                message = f"is in split {first!r} and in {split!r}"
                file = str(sample.image_path)
                yield Finding("warning", "duplicate_id", file, message, LEAK_REMEDY)


LEAK_REMEDY = "remove it from one split, or results say little about new pictures"
