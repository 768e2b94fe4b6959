"""Decode once: pictures of a data set at model size in memory-mapped files.

    CACHE_DIR/KEY.npy   uint8 (N, H, W, 3), RGB
    CACHE_DIR/KEY.json  its checksum, and which pictures could not be used

A file holds 2,048 pictures at most, so that a build that was stopped goes on where it was, and a
changed picture costs its file alone. KEY depends on the bytes of the file's pictures, their
order, the size and the resize kernel. The JSON file is written last and holds the checksum of the
other, so that neither an interrupted build nor a damaged file is taken for a cache. Of a large
file with the same date it is not computed again.
"""

from __future__ import annotations

import json
import logging
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantdet.data.digest import digest_files, map_threads
from quantdet.data.images import read_image, resize
from quantdet.data.mapped import Pictures, joined
from quantdet.data.sample import Sample
from quantdet.errors import DataError, QuantdetError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import atomic_path, write_json
from quantdet.system.user_cache import user_cache_dir

_VERSION = 1
_KERNEL = "pillow-bilinear"
_CHECK_BYTES = _LARGE = 1 << 26
_PICTURES_A_FILE = 2048
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageCache:
    """Decoded pictures; row i of ``images`` is ``samples[i]``.

    Attributes:
        images: uint8 (N, H, W, 3), RGB, memory-mapped and read-only.
        samples: the samples asked for, less those skipped.
        skipped: "file: reason" for every picture left out because of skip_bad.
        key: digest of the pictures, their order and size.
        paths: the .npy files.
    """

    images: Pictures
    samples: tuple[Sample, ...]
    skipped: tuple[str, ...]
    key: str
    paths: tuple[Path, ...]


def build_cache(
    samples: Sequence[Sample],
    size_hw: tuple[int, int],
    cache_dir: Path | None = None,
    progress: Tick = no_tick,
    *,
    skip_bad: bool = False,
) -> ImageCache:
    """Return the decoded pictures of ``samples``, from the cache or decoded now.

    Args:
        samples: the pictures, in the order of the rows.
        size_hw: (height, width) of the rows.
        cache_dir: folder of caches; None takes :func:`user_cache_dir`.
        progress: called with (pictures decoded, all pictures); not called on a cache hit.
        skip_bad: leave out pictures that cannot be decoded or whose size is not the one
            annotated, instead of stopping at the first.

    Raises:
        DataError: no samples, or a picture is faulty; the message names it and the remedy.
        QuantdetError: the cache folder cannot be written or has too little space.
    """
    if not samples:
        raise DataError("no picture to decode: the split holds no sample for this task")
    found = digest_files(sample.image_path for sample in samples)
    digests = [found[sample.image_path] for sample in samples]
    files = _files(samples, digests, size_hw, cache_dir or user_cache_dir())
    bad = _complete(files, size_hw, progress, skip_bad=skip_bad)
    kept = tuple(sample for row, sample in enumerate(samples) if row not in bad)
    if not kept:
        raise DataError(f"none of {len(samples)} pictures is usable; first: {bad[0]}")
    paths = tuple(file.path for file in files)
    images = joined([np.load(path, mmap_mode="r") for path in paths])
    return ImageCache(
        images, kept, tuple(bad.values()), cache_key(samples, digests, size_hw), paths
    )


@dataclass(frozen=True)
class _File:
    """A file of the cache, and the pictures that it holds: those from number ``first`` on."""

    path: Path
    first: int
    samples: Sequence[Sample]


def _files(
    samples: Sequence[Sample], digests: Sequence[str], size_hw: tuple[int, int], folder: Path
) -> list[_File]:
    files = []
    for first in range(0, len(samples), _PICTURES_A_FILE):
        part = slice(first, first + _PICTURES_A_FILE)
        key = cache_key(samples[part], digests[part], size_hw)
        files.append(_File(folder / f"{key}.npy", first, samples[part]))
    return files


def _complete(
    files: Sequence[_File], size_hw: tuple[int, int], progress: Tick, *, skip_bad: bool
) -> dict[int, str]:
    """Build the files that are not there; return the faulty pictures of all (number → reason)."""
    total = sum(len(file.samples) for file in files)
    found = [_load_valid(file.path, len(file.samples), size_hw) for file in files]
    _announce([file for file, known in zip(files, found, strict=True) if known is None], size_hw)
    bad: dict[int, str] = {}
    for file, known in zip(files, found, strict=True):
        report = partial(_report_from, progress, file.first, total)
        faulty = _build(file, size_hw, report, skip_bad=skip_bad) if known is None else known
        if faulty and not skip_bad:
            raise bad_picture(next(iter(faulty.values())))
        bad |= {file.first + row: reason for row, reason in faulty.items()}
    return bad


def _announce(missing: Sequence[_File], size_hw: tuple[int, int]) -> None:
    """Say what will be written, and refuse what has no room."""
    if not missing:
        return
    count = sum(len(file.samples) for file in missing)
    needed, folder = count * size_hw[0] * size_hw[1] * 3, missing[0].path.parent
    if len(missing) > 1:
        _log.info("decoding %d pictures: %.1f GB in %s", count, needed / 1e9, folder)
    _require_space(folder, needed)


def _report_from(progress: Tick, first: int, total: int, done: int, _: int) -> None:
    progress(first + done, total)


def cache_key(samples: Sequence[Sample], digests: Sequence[str], size_hw: tuple[int, int]) -> str:
    """Return a digest of pictures, their order and size."""
    total = blake2b(repr((_VERSION, _KERNEL, tuple(size_hw))).encode(), digest_size=16)
    for sample, digest in zip(samples, digests, strict=True):
        # The annotated size counts: it decides whether the picture is a good one.
        total.update(f"{digest} {sample.size_hw[0]} {sample.size_hw[1]}\n".encode())
    return total.hexdigest()


def _load_valid(path: Path, count: int, size_hw: tuple[int, int]) -> dict[int, str] | None:
    """Return the pictures left out of a sound cache (row → reason), None if there is none."""
    try:
        meta: dict[str, Any] = json.loads(path.with_suffix(".json").read_text("utf-8"))
        bad = {int(row): str(reason) for row, reason in meta["bad"].items()}
        images = np.load(path, mmap_mode="r")
        expected = (count - len(bad), *size_hw, 3)
        if images.shape != expected or images.dtype != np.uint8:
            return None
        return bad if _is_as_written(path, meta) else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, EOFError):
        # Absent, damaged or of another version: all mean "decode again".
        return None


def _build(
    file: _File, size_hw: tuple[int, int], progress: Tick, *, skip_bad: bool
) -> dict[int, str]:
    path, samples = file.path, file.samples
    with atomic_path(path) as temporary:
        rows = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.uint8, shape=(len(samples), *size_hw, 3)
        )
        bad = _decode(samples, rows, progress, skip_bad=skip_bad)
        rows.flush()
        if bad:
            _drop_rows(temporary, rows, bad)
        written, checksum = _written(temporary), _checksum(temporary)
    # Sorted by row, so that "the first" is the same on every machine.
    rows_left_out = {str(row): bad[row] for row in sorted(bad)}
    meta = {
        "version": _VERSION,
        "crc32": checksum,
        "written": written,
        "bad": rows_left_out,
    }
    write_json(path.with_suffix(".json"), meta)
    return {row: bad[row] for row in sorted(bad)}


def _decode(
    samples: Sequence[Sample], rows: NDArray[np.uint8], progress: Tick, *, skip_bad: bool
) -> dict[int, str]:
    size_hw = (rows.shape[1], rows.shape[2])
    bad: dict[int, str] = {}

    def decode(row: int) -> None:
        try:
            rows[row] = resize(_read_checked(samples[row]), size_hw)
        except DataError as error:
            if not skip_bad:
                raise bad_picture(str(error)) from None
            bad[row] = str(error)

    map_threads(decode, range(len(samples)), progress)
    return bad


def _read_checked(sample: Sample) -> NDArray[np.uint8]:
    image = read_image(sample.image_path)
    require_size(sample, (image.shape[0], image.shape[1]))
    return image


def require_size(sample: Sample, size_hw: tuple[int, int]) -> None:
    """Refuse a picture that has another size than its annotation says.

    Raises:
        DataError: it has.
    """
    if size_hw != tuple(sample.size_hw):
        raise DataError(
            f"{sample.image_path}: picture is {size_hw[1]}x{size_hw[0]} (width x height, "
            f"upright), but its annotation says {sample.size_hw[1]}x{sample.size_hw[0]}; "
            "correct the annotation"
        )


def bad_picture(reason: str) -> DataError:
    """Return what a faulty picture ends with that is not to be left out."""
    return DataError(f"{reason}; `quantdet data check` lists all such, --skip-bad leaves them out")


def _drop_rows(path: Path, rows: NDArray[np.uint8], bad: Mapping[int, str]) -> None:
    """Write ``rows`` without the bad ones to ``path``, row by row to spare memory."""
    kept = [row for row in range(len(rows)) if row not in bad]
    with atomic_path(path) as smaller:
        if not kept:
            np.save(smaller, rows[:0])
            return
        copy = np.lib.format.open_memmap(
            smaller, mode="w+", dtype=np.uint8, shape=(len(kept), *rows.shape[1:])
        )
        for target, row in enumerate(kept):
            copy[target] = rows[row]
        copy.flush()


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as stream:
        while block := stream.read(_CHECK_BYTES):
            value = zlib.crc32(block, value)
    return value


def _is_as_written(path: Path, meta: Mapping[str, Any]) -> bool:
    """Return whether a file is sound: by its date if it is large, else by its checksum.

    The checksum of a large file takes longer than a tick of the clock, so that whatever was written
    behind it has another date.
    """
    if path.stat().st_size >= _LARGE and _written(path) == meta.get("written"):
        return True
    return bool(_checksum(path) == meta["crc32"])


def _written(path: Path) -> list[int]:
    """Return what changes when a file is written: its size, and when that was in ns."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _require_space(folder: Path, needed: int) -> None:
    # A full disk under a memory map kills the process without a message.
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise QuantdetError(
            f"{folder}: the decoded pictures need {needed / 1e9:.1f} GB, free are "
            f"{free / 1e9:.1f} GB; free some space, or set data.cache_dir to another disk"
        )
