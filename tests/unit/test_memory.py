"""Processes that start anew with large memory pages."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from quantdet import __main__ as program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's tunables")
START = """
import os, sys
from pathlib import Path
from quantdet.system.memory import restart_with_huge_pages
restart_with_huge_pages(Path(sys.argv[1]))
print(os.environ.get("GLIBC_TUNABLES"), sys.argv[2:])
"""


def start(mode, *arguments, given=None):
    """Return what a process prints that may start anew, where the kernel's file says ``mode``."""
    environment = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-c", START, str(mode), *arguments],
        env={**environment, **({} if given is None else {"GLIBC_TUNABLES": given})},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def on_request(tmp_path):
    file = tmp_path / "on_request"
    file.write_text("always [madvise] never\n", "ascii")
    return file


def test_a_process_asks_once_and_keeps_its_arguments(on_request):
    assert start(on_request, "a b", "-c") == "glibc.malloc.hugetlb=1 ['a b', '-c']"


def test_what_the_user_set_stays(on_request):
    kept = "glibc.malloc.check=1"
    assert start(on_request, given=kept) == f"{kept}:glibc.malloc.hugetlb=1 []"
    assert start(on_request, given="glibc.malloc.hugetlb=0") == "glibc.malloc.hugetlb=0 []"


def test_not_where_the_system_decides(tmp_path):
    for name in ("[always] madvise never", "always madvise [never]"):
        (tmp_path / "mode").write_text(name, "ascii")
        assert start(tmp_path / "mode") == "None []"
    assert start(tmp_path / "missing") == "None []"


@pytest.mark.parametrize(("command", "restarts"), [("train", True), ("run", True), ("-h", False)])
def test_trainings_ask(monkeypatch, command, restarts):
    called = []
    monkeypatch.setattr(sys, "argv", ["quantdet", command])
    monkeypatch.setattr(program, "restart_with_huge_pages", lambda: called.append("restart"))
    monkeypatch.setattr(program, "main", lambda: called.append("main"))
    program.start()
    assert called == ["restart", "main"] if restarts else ["main"]
