"""What is in a data set, picture by picture, so that it is recognized wherever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from quantdet.data.digest import digest_files
from quantdet.data.sample import Dataset, ObjectAnnotation, Sample
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.results.contents import Contents
from quantdet.runs import Run


def describe_contents(
    dataset: Dataset, digests: Mapping[Path, str] | None = None, progress: Tick = no_tick
) -> Contents:
    """Return digests of every picture's bytes and of its annotation.

    Paths and dates do not count, so that a copy has the same contents.

    Args:
        dataset: the data set.
        digests: picture → digest of its bytes where they are known; None reads the files.
        progress: called with (pictures read, all pictures).

    Raises:
        DataError: a picture is not readable.
    """
    samples = [sample for members in dataset.splits.values() for sample in members]
    if digests is None:
        digests = digest_files((sample.image_path for sample in samples), progress)
    splits = {split: _contents(members, digests) for split, members in dataset.splits.items()}
    return Contents(labels=dataset.labels, splits=splits)


def require_same(run: Run, after: Contents, root: Path) -> None:
    """Refuse other data than a run was trained with.

    Args:
        run: after ``train``.
        after: what there is now, perhaps only some of its splits.
        root: where ``after`` was found.

    Raises:
        DataError: it differs; the message says in which split, by how many pictures, and names
            the first.
    """
    before = Contents.read(run.pictures_file)
    differences = [
        difference
        for split, pictures in after.splits.items()
        if (difference := _difference(split, before.splits.get(split), pictures))
    ]
    if before.labels != after.labels:
        shown = ", ".join(after.labels)
        differences.append(f"the classes were {', '.join(before.labels)} and are {shown}")
    if differences:
        raise DataError(
            f"{root}: is not the data that {run.root} was trained with: {'; '.join(differences)}; "
            "restore it, give a copy of it with --data, or train again with another --out"
        )


_Pictures = Mapping[str, tuple[str, str]]


def _difference(split: str, before: _Pictures | None, after: _Pictures) -> str:
    if before is None:
        return f"there was no split {split!r}"
    if before == after:
        return "" if [*before] == [*after] else f"split {split!r} is in another order"
    count = f"{len(after)} pictures"
    if len(before) != len(after):
        count += f" (there were {len(before)})"
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    how = _how(before.get(names[0]), after.get(names[0]))
    return f"split {split!r} has {count}, {len(names)} differ, first {names[0]!r}: {how}"


def _how(before: tuple[str, str] | None, after: tuple[str, str] | None) -> str:
    if before is None:
        return "is new"
    if after is None:
        return "is missing"
    return "another picture" if before[0] != after[0] else "another annotation"


def _contents(samples: Sequence[Sample], digests: Mapping[Path, str]) -> _Pictures:
    found: dict[str, tuple[str, str]] = {}
    for sample in samples:
        name, number = sample.image_id, 1
        while name in found:  # of another source
            number += 1
            name = f"{sample.image_id} ({number})"
        found[name] = (digests[sample.image_path], _truth(sample))
    return found


def _truth(sample: Sample) -> str:
    objects = [_content(item) for item in sample.objects]
    return _digest((tuple(sample.size_hw), sample.annotated, objects))


def _content(item: ObjectAnnotation) -> tuple[object, ...]:
    box = tuple(float(value) for value in item.box_xyxy)
    return (item.label, box, bool(item.difficult), bool(item.truncated), item.pose)


def _digest(value: object) -> str:
    return blake2b(repr(value).encode(), digest_size=16).hexdigest()
