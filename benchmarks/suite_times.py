"""How long the tests take, in minutes and against a loop, so that machines compare.

    python benchmarks/suite_times.py test
    python benchmarks/suite_times.py check

Runs `make TARGET` in this checkout. Before and after it, a loop of plain Python runs on every core
at the same time: minutes of tests per second of the loop is about the same figure on a fast machine
and on a slow one. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from statistics import median

ROUNDS = 3


def loop_seconds(_: int) -> float:
    """Return how long the loop took: half of it in the interpreter, half in native code."""
    start = time.perf_counter()
    total = 0
    for number in range(8_000_000):
        total += number & 3
    rows = [{"name": str(number), "values": [number / 7, total]} for number in range(20_000)]
    for _ in range(5):
        assert json.loads(json.dumps(rows)) == rows
    return time.perf_counter() - start


def calibrate(cores: int) -> float:
    """Return the median time of the loop while every core runs it."""
    with ProcessPoolExecutor(cores) as pool:
        return median(pool.map(loop_seconds, range(ROUNDS * cores)))


def cpu_seconds() -> float:
    """Return the CPU time of all finished children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=("test", "check"))
    target = parser.parse_args().target
    cores = len(os.sched_getaffinity(0))
    before = calibrate(cores)
    start, used = time.perf_counter(), cpu_seconds()
    done = subprocess.run(["make", target], check=False)
    minutes, cpu = (time.perf_counter() - start) / 60, (cpu_seconds() - used) / 60
    loop = median((before, calibrate(cores)))
    print("\n| | result | minutes | CPU minutes | cores | loop s | minutes per loop second |")
    print("|---|---|---|---|---|---|---|")
    result = "passed" if done.returncode == 0 else f"exit {done.returncode}"
    print(
        f"| make {target}, {time.strftime('%Y-%m-%d')} | {result} | {minutes:.1f} | {cpu:.1f} | "
        f"{cores} | {loop:.2f} | {minutes / loop:.1f} |"
    )


if __name__ == "__main__":
    main()
