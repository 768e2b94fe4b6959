"""The peers' test suites, quantized with quantdet: how many nets pass, and why the others do not.

    python benchmarks/peers/run.py > tables.md
    python benchmarks/peers/run.py --suite tfmot --only mnist --json rows.json

A net passes when its file is within 20 dB SQNR or better of the *given* float net on pictures that
it was not calibrated with, on LiteRT's reference kernels and on XNNPACK, and within 2 steps of the
fake-quant simulation (a deep net, where steps add up: within 1 step in every layer). Below 20 dB it
passes only if LiteRT's own post-training quantizer is no better, which the tables say. It is
"refused" by a QuantdetError of ``prepare_qat``, refused "late" by one of ``export_integer``; any
other error is a "traceback".

The suite keras_hub needs that package, apart from quantdet's own (it wants tensorflow-text, which
no backbone uses):

    pip install --no-deps --target FOLDER keras-hub==0.32.0 kagglehub regex tokenizers
    PYTHONPATH=FOLDER python benchmarks/peers/run.py --suite keras_hub
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import ai_edge_quantizer
import keras
import keras_hub_backbones
import mct
import tfmot
from judge import VERDICTS, Row, judge

Nets = dict[str, Callable[[Any], Any]]
SUITES: dict[str, Nets] = {
    "tfmot": tfmot.NETS,
    "mct": mct.NETS,
    "mct_further": mct.FURTHER,
    "ai_edge_quantizer": ai_edge_quantizer.NETS,
    "keras_hub": keras_hub_backbones.NETS,
}
LONGEST_REASON = 160


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", action="append", choices=SUITES, help="all, if not given")
    parser.add_argument("--only", action="append", metavar="NAME", help="nets of that name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there")
    parser.add_argument(
        "--tfmot", type=Path, metavar="FILE", help="what rivals/tfmot_suites.py printed"
    )
    arguments = parser.parse_args()
    found = {
        suite: [_judge_aloud(suite, name, build) for name, build in nets]
        for suite in arguments.suite or SUITES
        if (nets := _chosen(SUITES[suite], arguments.only))
    }
    if not found:
        parser.error(f"no net is called {' or '.join(arguments.only)}")
    if arguments.json:
        rows = {suite: [asdict(row) for row in rows] for suite, rows in found.items()}
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    theirs = json.loads(arguments.tfmot.read_text()) if arguments.tfmot else []
    print("\n".join(report(found, theirs)))
    if any(row.verdict == "unbuilt" for rows in found.values() for row in rows):
        sys.exit("some nets could not be built: this benchmark is at fault")


def _chosen(nets: Nets, only: list[str] | None) -> list[tuple[str, Callable[[Any], Any]]]:
    return [(name, build) for name, build in nets.items() if not only or name in only]


def _judge_aloud(suite: str, name: str, build: Callable[[Any], Any]) -> Row:
    row = judge(name, build)
    shown = row.message or f"{row.db} dB, {row.steps} steps"
    line = f"{suite} {name}: {row.verdict}, {_short(shown)} ({row.seconds} s)"
    print(line, file=sys.stderr, flush=True)
    return row


def report(found: dict[str, list[Row]], theirs: list[dict[str, Any]]) -> Iterable[str]:
    """Yield the lines of the Markdown tables.

    Args:
        found: suite → its rows.
        theirs: rows of TFMOT; none leaves its column out.
    """
    yield f"`benchmarks/peers/run.py`, {time.strftime('%Y-%m-%d')}, Keras {keras.__version__}"
    yield ""
    integer = Counter(row["suite"] for row in theirs if row["all_integer"])
    counted = VERDICTS[::-1]
    columns = ["suite", "models", *counted, "median dB", *(["TFMOT 0.8.1"] if theirs else [])]
    yield _line(columns)
    yield _line(["---"] * len(columns))
    for suite, rows in found.items():
        whole = by_operator(rows) if suite == "ai_edge_quantizer" else rows
        verdicts = Counter(row.verdict for row in whole)
        decibels = [row.db for row in whole if row.db is not None]
        cells = [suite, len(whole), *(verdicts[v] for v in counted)]
        cells.append(f"{median(decibels):.1f}" if decibels else "–")
        yield _line([*cells, *([integer[suite] or "–"] if theirs else [])])
    yield from ("", _line(["model", "verdict", "reason"]), _line(["---"] * 3))
    for suite, rows in found.items():
        for row in rows:
            if row.verdict != "pass":
                yield _line([f"{suite} {row.name}", row.verdict, _short(row.message)])
            elif row.converter_db is not None:
                reason = f"{row.db} dB; LiteRT's converter: {row.converter_db} dB"
                yield _line([f"{suite} {row.name}", row.verdict, reason])


def by_operator(rows: list[Row]) -> list[Row]:
    """Return one row per operator: the worse of its two forms."""
    worst: dict[str, Row] = {}
    for row in rows:
        operator = row.name.split(".")[0]
        worst[operator] = min(worst.get(operator, row), row, key=_badness)
    return list(worst.values())


def _badness(row: Row) -> tuple[int, float]:
    return VERDICTS.index(row.verdict), row.db or 0.0


def _short(message: str) -> str:
    """Return the reason without the remedy, which follows a semicolon."""
    message = message.partition(";")[0]
    return " ".join(message.split()).replace("|", "\\|")[:LONGEST_REASON]


def _line(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
