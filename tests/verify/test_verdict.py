"""What passes and what fails, and that a failure is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from quantdet.cli.verify_text import verify_table
from quantdet.evaluate.end_to_end import litert_runner
from quantdet.results.verification import Verification
from quantdet.verify import verdict
from quantdet.verify.answers import Answers
from quantdet.verify.run import verify_subject
from quantdet.verify.targets import TARGETS, ethos_u, litert_xnnpack
from quantdet.verify.verdict import judge, judge_threads
from tests.verify.conftest import silent


def moved(outputs, subject, steps, every=1):
    """Return outputs with every n-th value so many integer steps away."""
    parts = {}
    for part, values in outputs.items():
        parts[part] = values.copy()
        parts[part].reshape(-1)[::every] += steps * subject.specs[part].scale
    return parts


def told(subject, outputs):
    """Return the subject of a run whose simulation gives ``outputs``."""
    floats = moved(subject.expected, subject, 1)
    return replace(subject, simulate=lambda _kernels: outputs, floats=floats)


def test_outputs_of_the_simulation_pass_however_far_from_the_baseline(subject):
    far = moved(subject.expected, subject, 30)
    result = judge(told(subject, far), far, "reference")
    assert result.status == "passed"
    assert (result.identical, result.identical_exact) == (0.0, 1.0)
    assert result.reason == "100 % equal to the simulation of its kernels"
    assert result.same_detections == subject.same_detections(far)


@pytest.mark.parametrize("kernels", ["reference", "xnnpack"])
def test_one_value_of_a_thousand_is_a_fault_where_the_rounding_is_known(
    subject, kernels, monkeypatch
):
    monkeypatch.setattr(verdict.platform, "machine", lambda: "x86_64")
    odd = moved(subject.expected, subject, 1, every=1000)
    result = judge(told(subject, subject.expected), odd, kernels)
    assert result.status == "failed"
    assert result.identical_exact == pytest.approx(0.999, abs=1e-5)


def test_where_rounding_is_not_known_no_more_than_quantization_may_change(subject):
    run = replace(told(subject, subject.expected), simulate=None)
    near = moved(subject.expected, subject, 1, every=4)
    assert run.quantization.noise_lsb == pytest.approx(1.0, abs=1e-4)
    assert judge(run, near, "reference").status == "passed"
    result = judge(run, moved(subject.expected, subject, 9), "reference")
    assert result.status == "failed"
    assert "of quantization itself" in result.reason


def test_lone_file_may_differ_by_rounding_only(subject):
    # The bound is 4 steps: between what kernels that work differ by, and one wrong scale.
    for steps, status in ((2, "passed"), (3.9, "passed"), (4.1, "failed")):
        assert judge(subject, moved(subject.expected, subject, steps), "xnnpack").status == status
    result = judge(subject, moved(subject.expected, subject, 10), "xnnpack")
    assert result.status == "failed"
    assert result.noise_lsb == pytest.approx(10, abs=0.01)


def test_outputs_that_depend_on_the_number_of_threads_fail(subject):
    right = Answers(subject.expected, 1.5)
    other = Answers(moved(subject.expected, subject, 1, every=1000), 0.75)
    same = judge_threads(subject, {1: right, 4: Answers(subject.expected, 0.5)}, "xnnpack", "2.0")
    assert (same.status, same.version, same.latency_ms) == ("passed", "2.0", {"1": 1.5, "4": 0.5})
    result = judge_threads(subject, {1: right, 2: other}, "xnnpack", "2.0")
    assert (result.status, result.latency_ms) == ("failed", {"1": 1.5, "2": 0.75})
    assert result.reason == "outputs depend on the number of threads"


@pytest.mark.parametrize(
    ("kernels", "machine", "status"),
    [
        ("xnnpack", "aarch64", "passed"),
        ("optimized", "aarch64", "passed"),
        ("xnnpack", "x86_64", "failed"),
        ("optimized", "AMD64", "failed"),
        ("reference", "aarch64", "failed"),
    ],
)
def test_fast_kernels_of_other_processors_may_round_otherwise(
    subject, kernels, machine, status, monkeypatch
):
    """Not as simulated, but less than quantization changed: fine where nobody modelled it."""
    monkeypatch.setattr(verdict.platform, "machine", lambda: machine)
    near = moved(subject.expected, subject, 1, every=4)
    result = judge(told(subject, subject.expected), near, kernels)
    assert result.status == status
    assert result.identical_exact == pytest.approx(0.75, abs=0.01)


def broken(_subject, _tick):
    raise ZeroDivisionError("division by zero")


def test_a_defect_in_one_target_is_told_and_stops_no_other(subject, monkeypatch):
    monkeypatch.setitem(TARGETS, "ethos-u", broken)
    result = verify_subject(subject, ["litert-reference", "ethos-u", "edgetpu"], silent)
    assert [item.status for item in result.targets] == ["passed", "failed", "passed"]
    assert result.targets[1].reason == "ZeroDivisionError: division by zero"
    assert "in broken" in result.targets[1].details["traceback"]
    assert not result.ok


def test_content_of_verify_json_is_the_one_described(subject, tmp_path):
    result = verify_subject(subject, ["litert-reference", "edgetpu"], silent)
    result.save(tmp_path / "verify.json")
    again = json.loads((tmp_path / "verify.json").read_text())
    assert again["version"] == 1
    assert again["baseline"] == "LiteRT reference kernels"
    assert again["pictures"] == 3
    assert again["noise_of_quantization_lsb"] is None
    assert set(again["targets"][0]) == {
        "target", "status", "reason", "version", "identical", "identical_exact", "max_lsb",
        "noise_lsb", "same_detections", "latency_ms", "details",
    }  # fmt: skip
    text = verify_table(Verification.model_validate(again))
    assert "3 pictures, against LiteRT reference kernels" in text
    assert "edgetpu: 10 of 10 published rules hold" in text


def wrong(subject, tick):
    """What XNNPACK answers, with one bit of every integer turned."""

    def run(*arguments, **options):
        right = litert_runner(*arguments, **options)
        return lambda picture: {name: values ^ 16 for name, values in right(picture).items()}

    litert_xnnpack.litert_runner = run  # in a process that ends with this target
    return litert_xnnpack.verify(subject, tick)


def test_a_kernel_that_answers_wrongly_ends_with_exit_code_3(
    quantdet, folder, tmp_path, monkeypatch
):
    monkeypatch.setitem(TARGETS, "litert-xnnpack", wrong)
    out = tmp_path / "verify.json"
    options = ["--data", folder, "--pictures", 3, "--out", out]
    targets = ["--target", "litert-xnnpack", "--target", "litert-compiled"]
    code, said, err = quantdet("verify", "voc-ssd300", *options, *targets)
    assert code == 3, err
    content = json.loads(out.read_text())
    status = {item["target"]: item["status"] for item in content["targets"]}
    assert status == {"litert-xnnpack": "failed", "litert-compiled": "passed"}
    assert "failed" in said


def not_installed(subject, tick):
    ethos_u.find_spec = lambda _: None
    return ethos_u.verify(subject, tick)


def test_skipped_targets_do_not_fail(quantdet, folder, monkeypatch):
    monkeypatch.setitem(TARGETS, "ethos-u", not_installed)
    options = ["--data", folder, "--pictures", 1, "--json"]
    code, said, err = quantdet(
        "verify", "voc-ssd300", *options, "--target", "ethos-u", "--target", "edgetpu"
    )
    assert code == 0, err
    skipped, passed = json.loads(said)["targets"]
    assert skipped["status"] == "skipped"
    assert "pip install ethos-u-vela" in skipped["reason"]
    assert passed["status"] == "passed"
