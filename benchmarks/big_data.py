"""How long `quantdet train` takes to its first step, for as many pictures as VOC or COCO have.

    python benchmarks/big_data.py --pictures 20000 120000 --work bench/big

Every picture has a name and an annotation of its own, in VOC's layout; hard links share the bytes
of generated ones, so the time is that of reading, decoding and comparing, not that of a disk. The
first run is killed when half of the decoded pictures are there, the second goes on from them, and
the third finds everything; both end at their first step. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quantdet import generate_scenes
from quantdet.evaluate import host

_SCENES = 500
_VALIDATION = 0.05
_PICTURES_A_FILE = 2048
_OPTIONS = (
    *("--preset", "ssd", "--imgsz", "160", "--weights", "none", "--batch", "16"),
    *("--set", "model.width=0.35", "--set", "train.augment=mild"),
)
# What the training says when its data are ready, and after its first step.
_READY, _STEPPED = "compiling the training step", "first step after"
COLUMNS = ("pictures", "run", "data ready, s", "first step, s", "peak memory, GB", "cache, GB")


@dataclass(frozen=True)
class Started:
    """A training that was ended at its first step: seconds from the start, and bytes."""

    ready: float
    stepped: float
    peak: int
    cache: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs="+", default=[20_000, 120_000])
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {host().model_dump_json()}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for count in arguments.pictures:
        work = arguments.work.resolve() / str(count)
        shutil.rmtree(work, ignore_errors=True)
        make(count, work / "VOC")
        print(f"| {count} | killed after {kill_at_half(count, work):.0f} s | | | | |", flush=True)
        row(count, "resumed", until_first_step(work))
        row(count, "again", until_first_step(work))


def row(count: int, name: str, found: Started) -> None:
    times = f"{found.ready:.1f} | {found.stepped:.1f}"
    sizes = f"{found.peak / 1e9:.2f} | {found.cache / 1e9:.1f}"
    print(f"| {count} | {name} | {times} | {sizes} |", flush=True)


def start(work: Path) -> subprocess.Popen[str]:
    """Start the training of a new run."""
    shutil.rmtree(work / "run", ignore_errors=True)
    command = [sys.executable, "-m", "quantdet", "train", "--data", work / "VOC", *_OPTIONS]
    return subprocess.Popen(
        [str(part) for part in (*command, "--out", work / "run")],
        env={**os.environ, "XDG_CACHE_HOME": str(work / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def kill_at_half(count: int, work: Path) -> float:
    """Return after how many seconds half of the pictures were decoded."""
    begun = time.perf_counter()
    half = round(count * (1 - _VALIDATION)) / _PICTURES_A_FILE / 2
    process = start(work)
    while len(list((work / "cache" / "quantdet").glob("*.npy"))) < half:
        if process.poll() is not None:
            raise SystemExit(process.communicate()[1])
        time.sleep(0.1)
    end(process)
    return time.perf_counter() - begun


def until_first_step(work: Path) -> Started:
    begun = time.perf_counter()
    process = start(work)
    ready = 0.0
    said = ""
    for line in process.stderr or ():
        said += line
        if _READY in line:
            ready = time.perf_counter() - begun
        if _STEPPED in line:
            stepped = time.perf_counter() - begun
            peak = max(peaks(process.pid))
            end(process)
            return Started(ready, stepped, peak, size_of(work / "cache"))
    raise SystemExit(said)


def peaks(group: int) -> Iterator[int]:
    """Yield the highest resident size of each process of a group, in bytes.

    Pages of mapped files count, which the system takes back when it needs them.
    """
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) == group:
                status = (folder / "status").read_text()
                yield int(status.partition("VmHWM:")[2].split()[0]) * 1024
        except (OSError, IndexError):
            continue  # it has ended meanwhile


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def make(count: int, root: Path) -> Path:
    """Write a VOC folder."""
    scenes = generate_scenes(root.parent / "scenes", count=_SCENES)
    texts = [path.read_text() for path in sorted((scenes / "Annotations").iterdir())]
    pictures = sorted((scenes / "JPEGImages").iterdir())
    lists = root / "ImageSets" / "Main"
    for folder in (root / "JPEGImages", root / "Annotations", lists):
        folder.mkdir(parents=True)
    names = [f"p{number:06}" for number in range(count)]
    for number, name in enumerate(names):
        picture, text = pictures[number % _SCENES], texts[number % _SCENES]
        os.link(picture, root / "JPEGImages" / f"{name}.jpg")
        written = text.replace(picture.name, f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text(written)
    held_out = round(_VALIDATION * count)
    (lists / "val.txt").write_text("\n".join(names[:held_out]))
    (lists / "train.txt").write_text("\n".join(names[held_out:]))
    return root


if __name__ == "__main__":
    main()
