"""Objects and class names that look wrong: repeated rows, shares for pixels, Dog and dog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from quantdet.data.findings import Finding, Severity
from quantdet.data.sample import Dataset, ObjectAnnotation, Sample


def merge_repeats(
    samples: Iterable[Sample], split: str
) -> tuple[tuple[Sample, ...], list[Finding]]:
    """Return the samples, each picture and each object once, and what was repeated.

    A picture that is listed twice is one with the objects of both: the objects of one would be
    the background of the other. Objects of one class with the same box are one.

    Args:
        samples: of one split.
        split: its name.
    """
    kept: dict[Path, Sample] = {}
    copies: Counter[Path] = Counter()
    findings: list[Finding] = []
    for sample in samples:
        if sample.image_path not in kept:
            kept[sample.image_path] = sample
            continue
        copies[sample.image_path] += 1
        known = kept[sample.image_path]
        objects = (*known.objects, *_others(sample, known))
        kept[sample.image_path] = replace(known, objects=objects)
    for path, count in copies.items():
        message = f"is {count + 1} times in split {split!r}; used once, with all its objects"
        findings.append(Finding("warning", "duplicate_entry", str(path), message, count=count))
    for path, sample in kept.items():
        objects = _distinct(sample.objects)
        count = len(sample.objects) - len(objects)
        if count:
            kept[path] = replace(sample, objects=objects)
            message = f"has {count} rows that repeat an object (class and box); used once"
            findings.append(Finding("warning", "duplicate_object", str(path), message, count=count))
    return tuple(kept.values()), findings


def odd_boxes(root: Path, samples: Sequence[Sample]) -> Iterator[Finding]:
    """Yield that boxes are shares of the picture where they should be pixels."""
    boxes = [item.box_xyxy for sample in samples for item in sample.objects]
    tiny = sum(max(box) <= 1.0 for box in boxes)
    if not tiny:
        return
    message = f"{tiny} of {len(boxes)} boxes lie within the first pixel of the picture"
    remedy = "they look like fractions from 0 to 1: multiply them by width and height"
    severity: Severity = "error" if tiny == len(boxes) else "warning"
    yield Finding(severity, "normalized_boxes", str(root), message, remedy, tiny)


def similar_names(root: Path, dataset: Dataset) -> Iterator[Finding]:
    """Yield class names that differ only in case, spaces, hyphens or underscores."""
    counts = Counter(
        item.label
        for samples in dataset.splits.values()
        for sample in samples
        for item in sample.objects
    )
    alike: dict[str, list[str]] = {}
    for name in dataset.labels:
        alike.setdefault(_plain(name), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            shown = ", ".join(f"{name!r} ({counts[name]} objects)" for name in names)
            most = max(names, key=lambda name: counts[name])
            renamed = ", ".join(f'"{name}" = "{most}"' for name in names if name != most)
            remedy = f"if they are one class: --set 'data.class_map={{{renamed}}}'"
            message = f"the names of classes {shown} look alike"
            yield Finding("warning", "similar_classes", str(root), message, remedy)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in " -_")


def _others(sample: Sample, known: Sample) -> Iterator[ObjectAnnotation]:
    """Yield the objects of ``sample`` that ``known`` does not have."""
    there = {(item.label, item.box_xyxy) for item in known.objects}
    return (item for item in sample.objects if (item.label, item.box_xyxy) not in there)


def _distinct(objects: tuple[ObjectAnnotation, ...]) -> tuple[ObjectAnnotation, ...]:
    kept: dict[object, ObjectAnnotation] = {}
    for item in objects:
        kept.setdefault((item.label, item.box_xyxy), item)
    return tuple(kept.values())
