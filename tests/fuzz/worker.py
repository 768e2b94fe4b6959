"""The process in which files are read: ``READER FIRST LAST`` on stdin, faults on stdout.

Each line of stdin is answered by a process of its own, with a limit of memory, and one of time for
each case; "end STATUS NUMBER" says how it ended, and with which case it was busy.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from quantdet.errors import QuantdetError
from tests.fuzz.readers import READERS, Reader, backbone
from tests.fuzz.spoil import spoil

MEMORY = 1 << 30
# Of address space: files are read in blocks of the size that they announce, which stay empty.
ADDRESSES = 3 << 30
SECONDS = 5


def complaint(reader: Reader, root: Path, path: Path) -> str:
    """Return what is wrong with how a folder was read, "" where nothing is."""
    try:
        reader.read(root, path)
    except QuantdetError as error:
        text = str(error)
        if isinstance(error.__context__, MemoryError):
            return f"more than 3 GB: {text}"
        return "" if text and len(text.splitlines()) == 1 else f"not one line: {text!r:.300}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error!s:.200} ({where.filename}:{where.lineno})"
    return ""


def peak() -> int:
    """Return the most bytes of memory that this process had."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def cases(name: str, first: int, last: int, busy: Path) -> None:
    """Read spoiled files, and print what is wrong."""
    reader = READERS[name]
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESSES, used + ADDRESSES))
    before = peak()
    # The default action ends the process even where it hangs in C.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with tempfile.TemporaryDirectory(prefix="quantdet-fuzz-") as folder:
        root = Path(folder)
        reader.write(root)
        originals = {path: path.read_bytes() for path in sorted(root.glob(reader.files))}
        first_file = next(iter(originals))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        whole = complaint(reader, root, first_file)
        for number in range(first, last):
            busy.write_text(str(number))
            chance = random.Random(f"{name} {number}")
            path = chance.choice([*originals])
            path.write_bytes(spoil(originals[path], path.suffix, chance))
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            fault = complaint(reader, root, path)
            signal.setitimer(signal.ITIMER_PROF, 0)
            path.write_bytes(originals[path])
            if peak() - before > MEMORY:
                raise MemoryError
            if fault:
                print(f"case {number} ({path.name}): {' '.join(fault.split())}", flush=True)
        if complaint(reader, root, first_file) != whole:
            print("the seed is read otherwise after all cases", flush=True)


def answer(name: str, first: int, last: int, busy: Path) -> None:
    """Do the cases in a process of its own."""
    child = os.fork()
    if not child:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            cases(name, first, last, busy)
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    print("end", os.waitstatus_to_exitcode(status), busy.read_text(), flush=True)


def main() -> None:
    """Answer until stdin ends."""
    folder = Path(tempfile.mkdtemp(prefix="quantdet-fuzz-"))
    backbone()  # is kept, for every process that follows
    print("ready", flush=True)
    try:
        for line in sys.stdin:
            name, first, last = line.rstrip("\n").split("\t")
            (folder / "busy").write_text(first)
            answer(name, int(first), int(last), folder / "busy")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
