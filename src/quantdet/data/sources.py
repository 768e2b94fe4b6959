"""Get a public data set: from Kaggle, from its home, or from an archive or folder at hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from quantdet.data.archives import DamagedArchiveError, extract
from quantdet.data.links import place_file
from quantdet.errors import ConfigError, DataError, DependencyError
from quantdet.progress import Tick, no_tick
from quantdet.runtime.contract import file_sha256
from quantdet.system.atomic import appearing_folder, write_json
from quantdet.system.fetch import fetch, fetched_file, forget
from quantdet.system.temporary import sweep

REPORT_NAME = "download.json"
"""Written into the target: where it came from, with the sha256 of every archive."""


@dataclass(frozen=True)
class PublicDataset:
    """Where a data set lives.

    Attributes:
        kaggle: Kaggle handle, "" where it is not taken from there.
        urls: archives on its home page, taken one after the other.
    """

    kaggle: str = ""
    urls: tuple[str, ...] = ()


_VOC_HOME = "http://host.robots.ox.ac.uk/pascal/VOC"
DATASETS: dict[str, PublicDataset] = {
    "voc2012": PublicDataset(kaggle="gopalbhattrai/pascal-voc-2012-dataset"),
    "voc2007": PublicDataset(
        urls=(
            f"{_VOC_HOME}/voc2007/VOCtrainval_06-Nov-2007.tar",
            f"{_VOC_HOME}/voc2007/VOCtest_06-Nov-2007.tar",
        )
    ),
}


def download(
    name: str, target: Path | str, *, source: Path | str | None = None, progress: Tick = no_tick
) -> Path:
    """Download a data set, unchanged, into the new folder ``target``.

    An interrupted transfer resumes when the same call is made again. The result is not a
    VOCdevkit yet; ``prepare_voc`` makes one from it.

    Args:
        name: key of :data:`DATASETS`.
        target: folder to create; missing or empty, or made by the same call before.
        source: folder, archive or http(s) URL of an archive to take instead of the usual place.
        progress: called with (bytes or files done, all of them; 0 while unknown). It starts
            again at 0 for each archive fetched or unpacked.

    Returns:
        ``target``, with ``download.json`` in it: source, bytes and sha256 of each archive.

    Raises:
        ConfigError: unknown name.
        DataError: target not empty, source missing or damaged, no network, no permission.
        DependencyError: kagglehub or requests is not installed.
    """
    target = Path(target)
    if name not in DATASETS:
        raise ConfigError(f"data set {name!r} is unknown; choose one of {', '.join(DATASETS)}")
    sweep(target.parent)
    if _made_from(target) == _wanted(name, source):
        _clear(target)  # of a call that was killed behind its last step
        return target
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(
            f"{target}: is not empty and nothing is overwritten; choose another folder, or "
            f"continue with `quantdet data prepare {target}` if it is complete"
        )
    if source is None:
        known = DATASETS[name]
        if known.kaggle:
            folder = _from_kaggle(known.kaggle, name)
            _take_folder(folder, target, f"kaggle:{known.kaggle}", progress)
        else:
            _from_urls(known.urls, target, progress)
    elif str(source).startswith(("http://", "https://")):
        _from_urls((str(source),), target, progress)
    else:
        path = Path(source).expanduser()
        if path.is_dir():
            _take_folder(path, target, str(source), progress)
        else:
            _unpack({path: str(source)}, target, progress)
    return target


def _from_urls(urls: tuple[str, ...], target: Path, progress: Tick) -> None:
    # Beside the target, so that a transfer can go on in another call.
    folder = _transfers(target)
    archives = {fetch(url, folder, progress): url for url in urls}
    try:
        _unpack(archives, target, progress)
    except DamagedArchiveError as error:
        # Else the next call would take the same bytes for a finished download.
        forget(error.archive)
        raise
    _clear(target)


def _transfers(target: Path) -> Path:
    return target.parent / f"{target.name}.download"


def _clear(target: Path) -> None:
    """Remove the archives that ``target`` was made from, and nothing else."""
    folder = _transfers(target)
    for url in _made_from(target):
        forget(fetched_file(url, folder))
    with suppress(OSError):
        folder.rmdir()  # only if it is empty


def _wanted(name: str, source: Path | str | None) -> tuple[str, ...]:
    """Return what the report of a download says of its sources."""
    known = DATASETS[name]
    if source is not None:
        return (str(source),)
    return (f"kaggle:{known.kaggle}",) if known.kaggle else known.urls


def _made_from(target: Path) -> tuple[str, ...]:
    """Return the sources that the report in ``target`` names; none where there is no report."""
    try:
        report = json.loads((target / REPORT_NAME).read_text("utf-8"))
        if "folder" in report:
            return (str(report["folder"]),)
        return tuple(str(archive["source"]) for archive in report["archives"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _unpack(archives: dict[Path, str], target: Path, progress: Tick) -> None:
    report = []
    for archive, source in archives.items():
        if not archive.is_file():
            raise DataError(
                f"{source}: no such folder or file; give a folder, .zip, .tar or http(s) URL "
                "with --from"
            )
        report.append(
            {"source": source, "bytes": archive.stat().st_size, "sha256": file_sha256(archive)}
        )
    with _appearing(target) as whole:
        for archive in archives:
            alone = len(archives) == 1
            extract(archive, whole if alone else whole / archive.name.split(".")[0], progress)
        write_json(whole / REPORT_NAME, {"archives": report})


def _take_folder(folder: Path, target: Path, source: str, progress: Tick) -> None:
    if target.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{target}: is inside the source folder {folder}; choose another target")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise DataError(f"{folder}: is empty; give a folder with pictures and annotations")
    with _appearing(target) as whole:
        for done, path in enumerate(files, start=1):
            place_file(path, whole / path.relative_to(folder))
            progress(done, len(files))
        write_json(whole / REPORT_NAME, {"folder": source, "files": len(files)})


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """Yield a new folder; it becomes ``target``, seen to be empty, on success only."""
    try:
        with appearing_folder(target) as whole:
            yield whole
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written ({error}); check permissions and space"
        ) from None


def _from_kaggle(handle: str, name: str) -> Path:
    by_hand = (
        f"or download the zip of kaggle.com/datasets/{handle} in a browser and give it with "
        f"`quantdet data download {name} --from FILE.zip`"
    )
    fetch_dataset = _kagglehub_download(by_hand)
    try:
        return Path(fetch_dataset(handle))
    except Exception as error:
        # kagglehub's errors have no common base; its own text says what happened.
        short = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"Kaggle data set {handle}: download failed ({short}); check the network and the "
            "Kaggle token (KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY, or "
            f"~/.kaggle/kaggle.json) and run the same command again to resume, {by_hand}"
        ) from error


def _kagglehub_download(by_hand: str) -> Callable[[str], str]:
    try:
        import kagglehub
    except ImportError:
        raise DependencyError(
            "kagglehub is not installed; install it with `pip install 'quantdet[train]'`, "
            f"{by_hand}"
        ) from None
    result: Callable[[str], str] = kagglehub.dataset_download
    return result
