"""Share of mutants that a test kills: a random sample of those of every file (`mutmut`).

All of them take hours (`make test-mutants`). A sample says the share to a few points, and names
survivors to write tests for:

    export QUANTDET_KEPT_RUN=$(python -m tests.e2e.kept_run mutants)
    python benchmarks/mutants.py --of-each 25 --seed 0 --children 2

Run it from the root of a checkout; `mutants/` is written there. The kept run spares mutants of the
evaluation a training each.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

MUTANTS = Path("mutants/src")
# The smallest file: asking for its mutants makes all of them and measures all tests.
FIRST = "quantdet.results.contents.*"
# Exit codes that mutmut writes beside its mutants.
SURVIVED, NO_TESTS = (0,), (5, 33)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of-each", type=int, default=25, help="mutants of every file")
    parser.add_argument("--only", default="", help="files whose path contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--children", type=int, default=2)
    return parser.parse_args()


def mutmut(children: int, names: Sequence[str]) -> None:
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(children), *names]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def exit_codes(only: str) -> dict[Path, dict[str, int | None]]:
    """Return file → mutant → exit code of its tests, None where they did not run."""
    return {
        path: json.loads(path.read_text())["exit_code_by_key"]
        for path in sorted(MUTANTS.rglob("*.meta"))
        if only in str(path)
    }


def interval(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    share = hits / of
    middle, width = (
        share + z * z / (2 * of),
        z * math.sqrt(share * (1 - share) / of + (z / of / 2) ** 2),
    )
    return (middle - width) / (1 + z * z / of), (middle + width) / (1 + z * z / of)


def killed(code: int | None) -> bool:
    return code is not None and code not in (*SURVIVED, *NO_TESTS)


def main() -> None:
    asked = parse_arguments()
    mutmut(asked.children, [FIRST])
    chooser = random.Random(asked.seed)
    known = exit_codes(asked.only)
    chosen = {
        path: chooser.sample(sorted(codes), min(asked.of_each, len(codes)))
        for path, codes in known.items()
        if codes
    }
    mutmut(asked.children, [name for names in chosen.values() for name in names])
    report(exit_codes(asked.only), chosen)


def report(results: dict[Path, dict[str, int | None]], chosen: dict[Path, list[str]]) -> None:
    weighted, hits, sampled = 0.0, 0, 0
    for path, names in chosen.items():
        codes = results[path]
        dead = sum(killed(codes[name]) for name in names)
        weighted += len(codes) * dead / len(names)
        hits, sampled = hits + dead, sampled + len(names)
        module = str(path.relative_to(MUTANTS)).removesuffix(".py.meta").replace("/", ".")
        print(f"{module:45} {dead:3} of {len(names):3} killed ({len(codes)} mutants)")
        for name in names:
            if not killed(codes[name]):
                print(f"    {'no test' if codes[name] in NO_TESTS else 'lives'}: {name}")
    shares = (hits / sampled, *interval(hits, sampled))
    share, *around = (f"{100 * part:.1f}" for part in shares)
    print(f"\n{hits} of {sampled} sampled: {share} % ({' to '.join(around)})")
    total = sum(len(results[path]) for path in chosen)
    print(f"every file by its number of mutants, {total} in all: {100 * weighted / total:.1f} %")


if __name__ == "__main__":
    main()
