"""What the core install takes on a device: space, import time, a cold `quantdet predict`, memory.

    python benchmarks/edge.py PICTURES
    python benchmarks/edge.py PICTURES --install . --install ".[small]" --install ../before
    python benchmarks/edge.py --machine aarch64

Each --install is what pip gets, in a virtual environment of its own; all are measured in turns, and
the ratio is of medians, to the first. Every run is a new process. CPU time is of all threads and
holds on a busy machine; peak memory is the kernel's maximum resident set, and never less than this
script's own. Linux and macOS.

With --machine only sizes are printed, of the wheels for Linux with glibc 2.36 on that machine
(64-bit Raspberry Pi OS: aarch64).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_TOOLS = ("pip", "setuptools", "wheel")
_GLIBC_MINORS = range(17, 37)
_SPEED_TURNS = 5
_HOST = "from quantdet.evaluate import host; print(host().model_dump_json())"


@dataclass(frozen=True)
class Run:
    """One process."""

    wall_ms: float
    cpu_ms: float
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, nargs="*")
    parser.add_argument("--install", action="append", dest="installs")
    parser.add_argument("--python", default=sys.executable, help="makes the environments")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--machine", help="print sizes for another machine, e.g. aarch64")
    arguments = parser.parse_args()
    if not arguments.pictures and not arguments.machine:
        parser.error("give pictures, or --machine")
    installs = arguments.installs or ["."]
    with tempfile.TemporaryDirectory() as work:
        folders = [Path(work) / str(number) for number in range(len(installs))]
        if arguments.machine:
            for item, folder in zip(installs, folders, strict=True):
                unpack(arguments.python, item, arguments.machine, folder)
            print(f"{time.strftime('%Y-%m-%d')}, wheels for {arguments.machine}")
            print_sizes(installs, [sizes(folder) for folder in folders])
            return
        bins = [
            environment(arguments.python, item, folder)
            for item, folder in zip(installs, folders, strict=True)
        ]
        host = output(bins[0] / "python", "-c", _HOST)
        print(f"{time.strftime('%Y-%m-%d')}, {output(bins[0] / 'python', '-V')}, {host}")
        print_sizes(installs, [sizes(next(f.glob("lib/python*/site-packages"))) for f in folders])
        print_times(installs, bins, arguments.pictures[0], arguments.runs)
        print_answers(installs, bins, arguments.pictures)


def environment(python: str, what: str, folder: Path) -> Path:
    """Make a virtual environment with only ``what`` in it; return its folder of programs."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    pip_install(folder / "bin" / "python", *shlex.split(what))
    return folder / "bin"


def unpack(python: str, what: str, machine: str, folder: Path) -> None:
    """Put ``what`` for another machine into ``folder``."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC_MINORS]
    options = [part for name in platforms for part in ("--platform", name)]
    options += ["--platform", f"manylinux2014_{machine}", "--only-binary", ":all:"]
    pip_install(python, *options, "--target", folder, *shlex.split(what))


def pip_install(python, *arguments) -> None:
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *arguments], check=True, stderr=subprocess.DEVNULL)


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Return package → (bytes without .pyc, bytes of .pyc)."""
    found = {}
    for part in metadata.distributions(path=[str(folder)]):
        files = [(path.suffix == ".pyc", part.locate_file(path)) for path in part.files or ()]
        there = [(pyc, path.stat().st_size) for pyc, path in files if path.is_file()]
        plain, compiled = (sum(n for pyc, n in there if pyc is kind) for kind in (False, True))
        found[part.metadata["Name"].lower()] = (plain, compiled)
    return {name: both for name, both in found.items() if name not in _TOOLS}


def output(*command) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def print_sizes(installs, found) -> None:
    """Print megabytes of each package, without .pyc, and sums."""
    plain = [{name: both[0] / 1e6 for name, both in item.items()} for item in found]
    compiled = [sum(both[1] for both in item.values()) / 1e6 for item in found]
    names = sorted(set().union(*plain), key=lambda name: -max(p.get(name, 0) for p in plain))
    rows = [(name, *(f"{p[name]:.2f}" if name in p else "–" for p in plain)) for name in names]
    for title, left_out in (
        ("**all**", ()),
        ("**all but numpy**", ("numpy",)),
        ("**all but numpy and LiteRT**", ("numpy", "ai-edge-litert")),
    ):
        sums = [sum(mb for name, mb in p.items() if name not in left_out) for p in plain]
        rows.append((title, *(f"**{mb:.1f}**" for mb in sums)))
    rows.append(("compiled .pyc on top", *(f"{mb:.1f}" for mb in compiled)))
    print_table(("package, MB", *installs), rows)


def print_times(installs, bins, picture: Path, runs: int) -> None:
    """Print time and memory of commands, measured in turns."""
    with tempfile.TemporaryDirectory() as out:
        predict = ("predict", picture, "--out", out)
        commands = {
            "python -c pass": ("python", "-c", "pass"),
            "import numpy": ("python", "-c", "import numpy"),
            "import pydantic": ("python", "-c", "import pydantic; pydantic.BaseModel"),
            "import quantdet": ("python", "-c", "import quantdet"),
            "from quantdet import Detector": ("python", "-c", "from quantdet import Detector"),
            "quantdet --help": ("quantdet", "--help"),
            "quantdet predict PICTURE": ("quantdet", *predict),
        }
        rows = []
        for title, (program, *rest) in commands.items():
            turns = [[measure(b / program, *rest) for b in bins] for _ in range(runs + 1)][1:]
            columns = list(zip(*turns, strict=True))
            first = median(columns[0], "cpu_ms")
            for install, column in zip(installs, columns, strict=True):
                fastest = min(run.wall_ms for run in column)
                wall, cpu, peak = (median(column, f) for f in ("wall_ms", "cpu_ms", "peak_mb"))
                numbers = (f"{wall:.0f}", f"{fastest:.0f}", f"{cpu:.0f}", f"{cpu / first:.2f}")
                rows.append((f"`{title}`", f"`{install}`", *numbers, f"{peak:.0f}"))
    header = ("process", "install", "wall ms", "fastest", "CPU ms", "ratio of CPU", "peak MB")
    print_table(header, rows)


def median(runs, field: str) -> float:
    return statistics.median(getattr(run, field) for run in runs)


def measure(*command) -> Run:
    """Run a process to its end."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{shlex.join(map(str, command))}: exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    return Run(1000 * wall, 1000 * cpu, usage.ru_maxrss * unit / 1e6)


def print_answers(installs, bins, pictures) -> None:
    """Print how many pictures have exactly the boxes and scores of the first install, and speed."""
    turns = [[answer(folder, pictures) for folder in bins] for _ in range(_SPEED_TURNS)]
    rows = []
    for install, found in zip(installs, zip(*turns, strict=True), strict=True):
        pairs = zip(found[0], turns[0][0], strict=True)
        same = sum(a["detections"] == b["detections"] for a, b in pairs)
        fastest = min(item["inference_ms"] for turn in found for item in turn)
        rows.append((f"`{install}`", f"{same} of {len(pictures)}", f"{fastest:.2f}"))
    header = ("install", "same boxes and scores as the first", "fastest inference, ms, 1 thread")
    print_table(header, rows)


def answer(folder: Path, pictures) -> list[dict]:
    with tempfile.TemporaryDirectory() as out:
        options = ("--out", out, "--threshold", "0.05", "--threads", "1", "--json")
        return json.loads(output(folder / "quantdet", "predict", *pictures, *options))


def print_table(header, rows) -> None:
    lines = [header, ["---"] * len(header), *rows]
    print("\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))


if __name__ == "__main__":
    main()
