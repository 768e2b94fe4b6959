"""Look at the picture files themselves: do they decode, are they as annotated, are they copies?"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path

from PIL import ExifTags, Image

from quantdet.data.digest import map_threads
from quantdet.data.findings import Finding, from_problem, left_out
from quantdet.data.judging import LEAK_REMEDY, Judged
from quantdet.data.records import Problem, Record
from quantdet.data.remembered import Remembered, Seen, settled_states
from quantdet.data.sample import Sample
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.runtime.preprocess import decode_image, open_picture

_JPEG_START = b"\xff\xd8\xff"


def look_at_pictures(judged: Judged, progress: Tick = no_tick) -> tuple[Judged, dict[Path, str]]:
    """Decode every picture of a data set once; one that was decoded before is not read again.

    Returns:
        The data set with what was found, without the samples that have a faulty picture; and
        picture → digest of its bytes.
    """
    samples = list(_unique(judged))
    paths = [sample.image_path for sample in samples]
    seen = look_at_files(paths, progress)
    annotations = {r.image_path: r.annotation_path for r in _records(judged)}
    faults: dict[Path, Problem] = {}
    for sample in samples:
        fault = _fault(sample, seen[sample.image_path], annotations[sample.image_path])
        if fault is not None:
            faults[sample.image_path] = fault
    digests = {path: picture.digest for path, picture in seen.items()}
    found = [*_faults_of_splits(judged, faults), *_turned(samples, seen, faults)]
    found += _copies(judged, digests)
    return _without(judged, faults, found), digests


def look_at_files(paths: Sequence[Path], progress: Tick = no_tick) -> dict[Path, Seen]:
    """Return what each file holds; those that have not changed since are not decoded again."""
    remembered = Remembered(paths)
    known = {path: remembered.find(path) for path in paths}
    unknown = [path for path, picture in known.items() if picture is None]
    states = settled_states(unknown)
    progress(len(paths) - len(unknown), len(paths))
    report = partial(_report_behind, progress, len(paths) - len(unknown))
    new = dict(zip(unknown, map_threads(look, unknown, report), strict=True))
    remembered.add(new, states)
    return {path: picture or new[path] for path, picture in known.items()}


def _report_behind(progress: Tick, before: int, done: int, total: int) -> None:
    progress(before + done, before + total)


def look(path: Path) -> Seen:
    """Decode one picture file.

    A JPEG is decoded at an eighth of its size, which reads all of its data and finds every
    fault that decoding at full size finds, in a third of the time.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return Seen(None, 1, "", f"cannot be read ({error.strerror})")
    digest = blake2b(content, digest_size=16).hexdigest()
    try:
        size_hw, orientation = _decode(content, path)
    except DataError as error:
        return Seen(None, 1, digest, str(error).removeprefix(f"{path}: "))
    return Seen(size_hw, orientation, digest)


def _decode(content: bytes, path: Path) -> tuple[tuple[int, int], int]:
    """Return (height, width) seen upright, and the EXIF orientation."""
    if content.startswith(_JPEG_START):
        small = _decode_small(content)
        if small is not None:
            return small
    # This way has a message for every fault.
    height, width = decode_image(io.BytesIO(content) if content else path, str(path)).shape[:2]
    with open_picture(io.BytesIO(content)) as image:
        return (height, width), _orientation(image)


def _decode_small(content: bytes) -> tuple[tuple[int, int], int] | None:
    """Return what :func:`_decode` does, None where a JPEG is faulty."""
    try:
        with open_picture(io.BytesIO(content)) as image:
            width, height = image.size
            image.draft("RGB", (1, 1))
            image.load()
            orientation = _orientation(image)
    except Exception:  # Pillow raises what it likes; decoding at full size has the last word.
        return None
    return ((width, height) if orientation in (5, 6, 7, 8) else (height, width)), orientation


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(2, 9) else 1


def _records(judged: Judged) -> Iterator[Record]:
    return (record for records in judged.listed.values() for record in records)


def _unique(judged: Judged) -> Iterator[Sample]:
    """Yield each picture once, those in use first; a faulty one has a finding already."""
    usable = [sample for samples in judged.splits.values() for sample in samples]
    listed = [r.sample for r in _records(judged) if r.sample is not None and not r.problems]
    return iter({sample.image_path: sample for sample in (*listed, *usable)}.values())


def _fault(sample: Sample, seen: Seen, annotation: Path) -> Problem | None:
    if seen.size_hw is None:
        return Problem(sample.image_path, "broken_picture", seen.fault)
    if not sample.annotated or seen.size_hw == tuple(sample.size_hw):
        return None
    turned = f"; EXIF orientation {seen.orientation} turns the picture"
    reason = (
        f"says {sample.size_hw[1]}x{sample.size_hw[0]} (width x height), but the picture "
        f"{sample.image_path.name} seen upright is {seen.size_hw[1]}x{seen.size_hw[0]}"
        f"{turned if seen.orientation > 1 else ''}"
    )
    return Problem(annotation, "size_mismatch", reason)


def _faults_of_splits(judged: Judged, faults: Mapping[Path, Problem]) -> Iterator[Finding]:
    used = {sample.image_path for samples in judged.splits.values() for sample in samples}
    for path, fault in faults.items():
        if path not in used:
            reason = f"{fault.reason} (in a picture that is not used)"
            yield Finding("warning", fault.code, str(fault.file), reason)
        else:
            yield left_out(fault) if judged.use.skip_bad else from_problem(fault)


def _turned(
    samples: Iterable[Sample], seen: Mapping[Path, Seen], faults: Mapping[Path, Problem]
) -> Iterator[Finding]:
    for sample in samples:
        orientation = seen[sample.image_path].orientation
        if orientation > 1 and sample.annotated and sample.image_path not in faults:
            message = f"EXIF orientation {orientation} turns or mirrors the picture"
            remedy = (
                "make sure that the boxes were drawn on the upright picture, or store it upright"
            )
            yield Finding("warning", "exif_rotation", str(sample.image_path), message, remedy)


def _copies(judged: Judged, digests: Mapping[Path, str]) -> Iterator[Finding]:
    """Yield pictures with the very bytes of another one, of their split or of another."""
    first: dict[str, tuple[str, Path]] = {}
    for split, samples in judged.splits.items():
        for path in (sample.image_path for sample in samples):
            there, twin = first.setdefault(digests[path], (split, path))
            if twin == path or not digests[path]:
                continue
            message = f"has the same content as {twin} in split {there!r}"
            if there == split:
                remedy = "remove one of them, or the picture counts twice"
                yield Finding("warning", "copy_in_split", str(path), message, remedy)
            else:
                message = f"of split {split!r} {message}"
                yield Finding("warning", "duplicate_picture", str(path), message, LEAK_REMEDY)


def _without(judged: Judged, faults: Mapping[Path, Problem], found: Iterable[Finding]) -> Judged:
    splits = {
        split: tuple(sample for sample in samples if sample.image_path not in faults)
        for split, samples in judged.splits.items()
    }
    used = {sample.image_path for samples in judged.splits.values() for sample in samples}
    skipped = [str(fault) for path, fault in faults.items() if path in used]
    return replace(
        judged,
        splits=splits,
        found=(*judged.found, *found),
        skipped=(*judged.skipped, *(skipped if judged.use.skip_bad else ())),
    )
