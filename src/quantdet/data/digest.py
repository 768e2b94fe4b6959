"""Content of picture files as a number, and work spread over threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from quantdet.data.remembered import Remembered
from quantdet.errors import DataError
from quantdet.progress import Tick, no_tick
from quantdet.runtime.cores import usable_cores

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def digest_files(paths: Iterable[Path], progress: Tick = no_tick) -> dict[Path, str]:
    """Return the blake2b digest (hexadecimal, 128 bit) of all bytes of each file.

    A file that has not changed since it was decoded is not read again.

    Raises:
        DataError: a file is not readable.
    """
    unique = list(dict.fromkeys(paths))
    remembered = Remembered(unique)
    known = {path: remembered.find(path) for path in unique}
    unknown = [path for path, picture in known.items() if picture is None]
    new = dict(zip(unknown, map_threads(_digest, unknown, progress), strict=True))
    return {path: picture.digest if picture else new[path] for path, picture in known.items()}


def map_threads(
    work: Callable[[_Item], _Result], items: Sequence[_Item], progress: Tick = no_tick
) -> list[_Result]:
    """Return ``[work(item) for item in items]``, done by one thread a core.

    Worth it for work that releases the interpreter lock: reading files, hashing, decoding.
    The first exception is raised again here and the remaining items are dropped.
    """
    results: list[_Result] = []
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        try:
            for result in pool.map(work, items):
                results.append(result)
                progress(len(results), len(items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _digest(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: picture not readable ({error.strerror}); restore it, or leave it out "
            "with --skip-bad"
        ) from None
    return blake2b(content, digest_size=16).hexdigest()
