"""Arm Ethos-U NPUs through Arm's compiler Vela, which also estimates time and memory.

Nothing is run: a simulator of the NPU is not to be had from a package index. The figures are
Vela's, for the system and memory mode that it takes by default for each accelerator.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from quantdet.errors import DependencyError, ModelError
from quantdet.progress import Tick
from quantdet.quant.litert_file import read_litert
from quantdet.results.verification import TargetResult
from quantdet.runtime.foreign import POST_PROCESS
from quantdet.verify.subject import Subject, decoding_operators

ACCELERATORS = ("ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u85-256")


def verify(subject: Subject, tick: Tick) -> TargetResult:
    """Compile for every accelerator; passed if no operator is left to the CPU.

    TFLite_Detection_PostProcess is, as on every NPU.

    Raises:
        DependencyError: package ``ethos-u-vela`` is not installed.
        ModelError: Vela refuses the file.
    """
    if find_spec("ethosu") is None:
        raise DependencyError("Vela is not installed: pip install ethos-u-vela")
    found = []
    for done, accelerator in enumerate(ACCELERATORS, start=1):
        found.append(compile_for(accelerator, subject.model_file))
        tick(done, len(ACCELERATORS))
    decoding = len(decoding_operators(read_litert(subject.model_file)))
    left = [item["accelerator"] for item in found if item["cpu_operators"] > decoding]
    times = ", ".join(f"{item['accelerator']} {item['inference_ms']:.1f} ms" for item in found)
    on_npu = f"all on the NPU but {POST_PROCESS}" if decoding else "all on the NPU"
    where = f"not every operator on the NPU of {', '.join(left)}" if left else on_npu
    return TargetResult(
        status="failed" if left else "passed",
        reason=f"{where}; compiled, not run; estimated: {times}",
        version=metadata.version("ethos-u-vela"),
        details={"accelerators": found},
    )


class Compiled(TypedDict):
    """What Vela says of a file on one accelerator; the time is estimated."""

    accelerator: str
    system: str
    memory_mode: str
    npu_operators: int
    cpu_operators: int
    inference_ms: float
    sram_kib: float
    dram_kib: float
    flash_kib: float


def compile_for(accelerator: str, model_file: Path) -> Compiled:
    """Return what Vela says of a file on one accelerator.

    Raises:
        ModelError: Vela refuses the file.
    """
    with tempfile.TemporaryDirectory(prefix="quantdet-") as folder:
        command = [sys.executable, "-m", "ethosu.vela", str(model_file.resolve())]
        command += ["--accelerator-config", accelerator, "--output-dir", folder]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        tables = list(Path(folder).glob("*_summary_*.csv"))
        if done.returncode or len(tables) != 1:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["without a message"]
            raise ModelError(f"{model_file}: Vela refuses it for {accelerator}: {lines[-1]}")
        with tables[0].open(newline="") as stream:
            (row,) = csv.DictReader(stream)
    return {
        "accelerator": accelerator,
        "system": row["system_config"],
        "memory_mode": row["memory_mode"],
        "npu_operators": _count("NPU", done.stdout),
        "cpu_operators": _count("CPU", done.stdout),
        "inference_ms": round(1000 * float(row["inference_time"]), 2),
        "sram_kib": round(float(row["sram_memory_used"]), 1),
        "dram_kib": round(float(row["dram_memory_used"]), 1),
        "flash_kib": round(
            float(row["on_chip_flash_memory_used"]) + float(row["off_chip_flash_memory_used"]), 1
        ),
    }


def _count(processor: str, text: str) -> int:
    """Return how many operators run there; only Vela's printed summary says so."""
    found = re.search(rf"{processor} operators = (\d+)", text)
    if found is None:
        raise ModelError(f"Vela does not say how many {processor} operators there are: {text}")
    return int(found[1])
