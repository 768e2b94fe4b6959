"""A crash or a hang of native code is one failed row, and the other targets go on."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantdet.errors import DependencyError, ModelError
from quantdet.results.verification import TargetResult
from quantdet.runtime.contract import contract_path, load_contract
from quantdet.runtime.pretrained import pretrained_file
from quantdet.verify import run
from quantdet.verify.child import ChildError, in_child
from quantdet.verify.run import _as_result, verify_subject
from quantdet.verify.targets import TARGETS
from tests.verify.conftest import silent

WINDOWS = os.name == "nt"


def work(number, call):
    """Print where the answer goes, ask for more, and answer."""
    os.write(1, b"native chatter\n")
    print("more of it")
    subprocess.run([sys.executable, "-c", "import sys; sys.stdin.read()"], check=True)
    return [number, call("double", number), call("double", 2 * number), os.getpid()]


def crash(*_):
    os.write(2, b"terminate called after throwing an instance\n\n")
    ctypes.string_at(0)


def hang(*_):
    time.sleep(600)


def leave(*_):
    os._exit(7)


def refuse(*_):
    raise ModelError("model.tflite: no")


def start_a_sleeper_and_crash(call):
    call(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    os.kill(os.getpid(), signal.SIGKILL)


def double(name, number):
    assert name == "double"
    return 2 * number


def test_function_runs_in_another_process_and_asks_this_one():
    *answer, process = in_child(work, 5, answer=double)
    assert answer == [5, 10, 20]
    assert process != os.getpid()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (leave, "its process ended, code 7"),
        pytest.param(
            crash,
            r"was ended by SIGSEGV \(terminate called after throwing an instance\)",
            marks=pytest.mark.skipif(WINDOWS, reason="no signals"),
        ),
    ],
)
def test_process_that_ends_without_an_answer(function, message):
    with pytest.raises(ChildError, match=message):
        in_child(function, answer=double)


def test_process_that_hangs():
    with pytest.raises(ChildError, match=r"hung: 2 s without a sign"):
        in_child(hang, answer=double, patience_s=2)


def test_errors_come_through():
    with pytest.raises(ModelError, match=r"^model\.tflite: no$"):
        in_child(refuse, answer=double)


def test_what_is_raised_here_ends_the_child():
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_child(work, 5, answer=stop)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_the_child_started_ends_with_it():
    started = []
    with pytest.raises(ChildError, match="SIGKILL"):
        in_child(start_a_sleeper_and_crash, answer=started.append)
    for _ in range(600):
        if not _runs(started[0]):
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


def _runs(process):
    """Whether it is there and no zombie: in a container nobody may reap those."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def missing(*_):
    raise DependencyError("pip install it")


def defect(*_):
    raise KeyError("defect")


def disk_full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/file")


def asks(subject, tick):
    """A target that shows progress, and compares with the simulation."""
    tick(1, 2)
    tick(2, 2)
    same = np.array_equal(subject.simulate("reference")["boxes"], subject.expected["boxes"])
    return TargetResult(status="passed" if same else "failed", reason="asked")


def test_the_other_targets_go_on(subject, monkeypatch):
    def impatient(function, target, *arguments, **options):
        patience = {"patience_s": 2} if target is hang else {}
        return in_child(function, target, *arguments, **options, **patience)

    monkeypatch.setattr(run, "in_child", impatient)
    own = {"crash": crash, "hang": hang, "asks": asks}
    for name, target in own.items():
        monkeypatch.setitem(TARGETS, name, target)
    subject = replace(subject, simulate=lambda _: subject.expected)
    seen = []
    found = verify_subject(subject, list(own), lambda *step: seen.append(step)).targets
    assert [(item.target, item.status) for item in found] == [
        ("crash", "failed"),
        ("hang", "failed"),
        ("asks", "passed"),
    ]
    assert "its process" in found[0].reason
    assert "hung: 2 s" in found[1].reason
    assert [step for step in seen if step[0] == "verify asks"] == [
        ("verify asks", 1, 2),
        ("verify asks", 2, 2),
    ]


def test_errors_of_a_target_are_rows():
    assert _as_result(missing).status == "skipped"
    assert _as_result(refuse).reason == "model.tflite: no"
    row = _as_result(defect)
    assert (row.status, row.reason) == ("failed", "KeyError: 'defect'")
    assert "in defect" in row.details["traceback"]


def test_a_machine_without_space_fails_no_file(subject, monkeypatch):
    monkeypatch.setitem(TARGETS, "edgetpu", disk_full)
    with pytest.raises(OSError, match="No space left on device: '/tmp/file'"):
        verify_subject(subject, ["edgetpu"], silent)


def test_progress_that_fails_does_not_end_the_other_targets(subject):
    def fail(phase, *_):
        if phase == "verify litert-optimized":
            raise OSError("no terminal")

    names = ["litert-optimized", "edgetpu"]
    found = verify_subject(subject, names, fail).targets
    assert [result.status for result in found] == ["failed", "passed"]
    assert found[0].reason == "OSError: no terminal"
    assert verify_subject(subject, names[:1], silent).targets[0].status == "passed"


def test_file_that_crashes_litert(quantdet, folder, tmp_path):
    """With no sha256 nothing keeps it away from native code; it ends a child only."""
    content = bytearray(pretrained_file().read_bytes())
    content[16] = 0  # the root table's; found by changing bytes
    file = tmp_path / "own.tflite"
    file.write_bytes(content[: content.index(b"PK\3\4")])
    contract = load_contract(pretrained_file()).model_copy(update={"sha256": ""})
    contract.save(contract_path(file))
    code, out, err = quantdet("verify", file, "--data", folder, "--pictures", 1)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "own.tflite: " in err
    assert len(err.splitlines()) == 1
