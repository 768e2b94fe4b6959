"""Spoiled files are refused in one line or read: no traceback, no signal, no gigabyte, no hang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.readers import READERS

HERE = Path(__file__).parent
# Crashes of LiteRT and HDF5 in so many cases; those of quantdet are none.
NATIVE_SHARE = 0.002


class Worker:
    """The process that reads; see ``worker.py``."""

    def __init__(self, *program: str) -> None:
        paths = [HERE.parents[1], *sys.path]
        environment = {
            **os.environ,
            "KERAS_BACKEND": "numpy",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
        }
        self._process = subprocess.Popen(
            [sys.executable, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._process.stdout.readline() == "ready\n"

    def read(self, name: str, count: int) -> tuple[list[str], list[str]]:
        """Return the faults of so many cases, and the cases in which the process died."""
        faults, deaths = [], []
        first = 0
        while first < count:
            status, busy = self._some(name, first, count, faults)
            if status == 0:
                break
            deaths.append(f"case {busy}: status {status}")
            first = busy + 1
        return faults, deaths

    def _some(self, name: str, first: int, last: int, faults: list[str]) -> tuple[int, int]:
        self._process.stdin.write(f"{name}\t{first}\t{last}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("end "):
                _, status, busy = line.split()
                return int(status), int(busy)
            faults.append(line.rstrip())
        raise AssertionError("the worker has gone")

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture(scope="module")
def worker():
    found = Worker("-m", "tests.fuzz.worker")
    yield found
    found.close()


def check(worker: Worker, name: str, count: int) -> None:
    faults, deaths = worker.read(name, count)
    print(f"{name}: {count} cases, {len(faults)} faults, {len(deaths)} deaths")
    assert not faults, f"{len(faults)} faults, e.g. {faults[:5]}"
    allowed = max(1, round(NATIVE_SHARE * count)) if READERS[name].native else 0
    assert len(deaths) <= allowed, f"{len(deaths)} deaths, e.g. {deaths[:5]}"


@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.cases])
def test_spoiled_files(worker, name):
    check(worker, name, READERS[name].cases)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_spoiled_files(worker, name):
    check(worker, name, READERS[name].slow_cases)


BAD_READERS = """
import os
from pathlib import Path
from quantdet.errors import DataError
from tests.fuzz import worker
from tests.fuzz.readers import READERS, Reader

def reader(read):
    return Reader(lambda root: (root / "a.txt").write_text("text"), "*.txt", read)

def lines(root, path):
    raise DataError("two\\nlines")

READERS.clear()
READERS |= {
    "traceback": reader(lambda root, path: 1 / 0),
    "lines": reader(lines),
    "signal": reader(lambda root, path: os.abort()),
    "hang": reader(lambda root, path: sum(iter(int, 1))),
    "memory": reader(lambda root, path: b"x" * (3 << 29)),
    "good": reader(lambda root, path: None),
}
worker.SECONDS = 0.2
worker.backbone = list
worker.main()
"""


def test_what_is_wrong_is_found():
    worker = Worker("-c", BAD_READERS)
    faults, _ = worker.read("traceback", 2)
    assert len(faults) == 2
    assert "case 1 (a.txt): ZeroDivisionError" in faults[1]
    faults, _ = worker.read("lines", 1)
    assert "not one line" in faults[0]
    for name in ("signal", "hang", "memory"):
        assert worker.read(name, 1)[1], name
    assert worker.read("good", 3) == ([], [])
    worker.close()
