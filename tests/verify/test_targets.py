"""The shipped model on the targets that are installed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from quantdet.errors import DependencyError, ModelError
from quantdet.evaluate.end_to_end import litert_runner
from quantdet.quant.litert.micro import ArenaTrials
from quantdet.verify.answers import Answers, thread_counts
from quantdet.verify.run import verify_subject
from quantdet.verify.subject import Pictures, real_outputs
from quantdet.verify.targets import TARGETS, browser, ethos_u, mediapipe_tasks
from quantdet.verify.verdict import judge, judge_threads
from tests.verify.conftest import silent


def result_of(name, subject):
    (result,) = verify_subject(subject, [name], silent).targets
    if result.status == "skipped":
        pytest.skip(result.reason)
    assert result.status == "passed", result.reason
    assert result.target == name
    assert result.version
    return result


@pytest.fixture(scope="module")
def xnnpack(subject):
    run = litert_runner(subject.model_file, subject.contract, "xnnpack", 1)
    return real_outputs(run, subject.contract, subject.pictures.pixels, silent)


def test_litert(subject):
    by_name = {name: result_of(name, subject) for name in TARGETS if name.startswith("litert")}
    assert set(by_name) == {
        "litert-reference", "litert-optimized", "litert-xnnpack", "litert-compiled"
    }  # fmt: skip
    fast = by_name["litert-xnnpack"]
    assert list(fast.latency_ms) == [str(count) for count in thread_counts()]
    # Both are XNNPACK, and it differs from the reference kernels.
    assert fast.identical == by_name["litert-compiled"].identical
    assert 0.5 < fast.identical < 1
    assert 0 < fast.noise_lsb < fast.max_lsb
    assert fast.same_detections > 0.5


def test_tflite_micro_has_the_arithmetic_of_the_reference_kernels(subject):
    pictures = Pictures(subject.pictures.pixels[:1], subject.pictures.sizes[:1])
    expected = {part: values[:1] for part, values in subject.expected.items()}
    result = result_of("tflite-micro", replace(subject, pictures=pictures, expected=expected))
    assert (result.identical, result.max_lsb, result.same_detections) == (1.0, 0.0, 1.0)
    arena = result.details["arena_bytes"]
    with ArenaTrials(subject.model_file.read_bytes()) as trials:
        assert trials.fits(arena)
        assert not trials.fits(arena - 1024)


def test_ethos_u(subject):
    rows = result_of("ethos-u", subject).details["accelerators"]
    assert [row["accelerator"] for row in rows] == list(ethos_u.ACCELERATORS)
    for row in rows:
        assert row["npu_operators"] > 50
        assert row["cpu_operators"] == 0
        assert row["inference_ms"] > 1
        assert row["sram_kib"] > 100
    assert rows[1]["inference_ms"] < rows[0]["inference_ms"]  # twice the units, one net


def test_vela_refuses_what_is_no_model(tmp_path):
    pytest.importorskip("ethosu.vela")
    file = tmp_path / "model.tflite"
    file.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"model\.tflite: Vela refuses it for ethos-u55-128"):
        ethos_u.compile_for("ethos-u55-128", file)


def test_browser_gives_the_tensors_of_xnnpack(subject, xnnpack):
    async def in_a_notebook():
        return result_of("browser", subject)

    # Its own thread: this one has the loop of the tests' own browser.
    with ThreadPoolExecutor(max_workers=1) as notebook:
        result = notebook.submit(asyncio.run, in_a_notebook()).result()
    as_litert = judge(subject, xnnpack, "xnnpack")
    assert result.identical == as_litert.identical
    assert result.noise_lsb == as_litert.noise_lsb
    assert all(ms > 0 for ms in result.latency_ms.values())
    assert result.details["browser"].startswith("Chromium")


def test_browser_that_is_missing_is_skipped(subject, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError, match="apt install chromium"):
        browser.verify(subject, silent)


def test_mediapipe_finds_the_same_boxes(subject):
    result = result_of("mediapipe", subject)
    assert result.details["same_by_their_rules"] == 1.0


def test_mediapipe_that_is_missing_is_skipped_with_the_install_line(subject, monkeypatch):
    monkeypatch.setenv(mediapipe_tasks.PYTHON_VARIABLE, "/no/such/python")
    (result,) = verify_subject(subject, ["mediapipe"], silent).targets
    assert result.status == "skipped"
    assert "pip install mediapipe" in result.reason


def test_mediapipe_is_not_for_models_without_anchors(subject):
    decoder = subject.contract.decoder.model_copy(update={"kind": "single_box"})
    contract = subject.contract.model_copy(update={"decoder": decoder})
    result = mediapipe_tasks.verify(replace(subject, contract=contract), silent)
    assert result.status == "skipped"
    assert "'single_box'" in result.reason


def test_outputs_that_depend_on_threads_fail(subject, xnnpack):
    good = Answers(xnnpack, 1.0)
    other = {part: values + (np.arange(values.size) == 7).reshape(values.shape)
             for part, values in xnnpack.items()}  # fmt: skip
    assert judge_threads(subject, {1: good, 2: good}, "xnnpack", "1").status == "passed"
    bad = judge_threads(subject, {1: good, 2: Answers(other, 1.0)}, "xnnpack", "1")
    assert bad.status == "failed"
    assert "threads" in bad.reason
    assert bad.latency_ms == {"1": 1.0, "2": 1.0}


def test_thread_counts():
    assert thread_counts(1) == [1]
    assert thread_counts(2) == [1, 2]
    assert thread_counts(6) == [1, 2, 4, 6]
