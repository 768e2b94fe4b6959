"""A finished run, measured once more, has the same figures to the last digit, times apart.

Figures that mutants of the evaluation change are seen here (`benchmarks/mutants.py`).
"""

from __future__ import annotations

import json
import shutil

import pytest

from quantdet.runs import Run
from quantdet.stages.evaluate import run_evaluate

_TIMES = {"latency", "host"}


def _figures(run):
    metrics = json.loads(run.metrics_file.read_text("utf-8"))
    return {key: value for key, value in metrics.items() if key not in _TIMES}


def _examples(run):
    return {path.name: path.read_bytes() for path in run.examples_dir.iterdir()}


@pytest.mark.slow
def test_the_same_figures(finished, tmp_path):
    before, again = Run(finished), Run(shutil.copytree(finished, tmp_path / "again"))
    for file in (again.metrics_file, again.details_file):
        file.unlink()
    shutil.rmtree(again.examples_dir)
    steps = {}
    run_evaluate(again, progress=lambda phase, done, total: steps.update({phase: (done, total)}))
    assert _figures(again) == _figures(before)
    assert again.details_file.read_bytes() == before.details_file.read_bytes()
    assert _examples(again) == _examples(before)
    assert all(done == total > 0 for done, total in steps.values())


def test_every_kernel_set_and_thread_count_is_timed(finished):
    rows = json.loads(Run(finished).metrics_file.read_text("utf-8"))["latency"]
    timed = {(row["variant"], row["kernels"], row["threads"]) for row in rows}
    assert timed == {
        (variant, kernels, threads)
        for variant in ("float_tflite", "ptq_tflite", "uint8_tflite")
        for kernels in ("xnnpack", "optimized")
        for threads in (1, 2)
    }
    assert all(0 < row["min_ms"] <= row["median_ms"] <= row["p90_ms"] for row in rows)
    sizes = {row["variant"]: row["bytes"] for row in rows}
    assert sizes["float_tflite"] > sizes["uint8_tflite"] > 10_000
