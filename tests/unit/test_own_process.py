"""A part of a command in a process of its own: how it ends, and that it ends with the command."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="done in the same process")

_SCRIPT = """
import os, signal, sys, time
from quantdet.cli.own_process import PartEndedError, in_own_process
from quantdet.errors import QuantdetError

def fail():
    raise QuantdetError("the reason")

def break_down():
    raise ZeroDivisionError

def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)

def abort_as_glibc():
    os._exit(127)

def work():
    try:
        print(os.getpid(), flush=True)
        time.sleep(3600)
    except KeyboardInterrupt:
        print("cleaned up", flush=True)
        raise

try:
    in_own_process(globals()[sys.argv[1]] if len(sys.argv) > 1 else lambda: print(os.getpid()))
except PartEndedError as end:
    print("ended", end.code)
except (QuantdetError, KeyboardInterrupt) as error:
    print(type(error).__name__, error)
"""


def _run(*arguments):
    command = [sys.executable, "-c", _SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def _start():
    command = [sys.executable, "-c", _SCRIPT, "work"]
    options = {"stdout": subprocess.PIPE, "text": True, "preexec_fn": _heed}
    process = subprocess.Popen(command, **options)
    return process, int(process.stdout.readline())


def _heed():
    """What a shell starts in the background ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_it_is_another_process():
    with subprocess.Popen([sys.executable, "-c", _SCRIPT], stdout=subprocess.PIPE) as process:
        assert int(process.communicate()[0]) != process.pid


def test_what_it_says_of_an_error_is_said_once():
    done = _run("fail")
    assert (done.stdout, done.stderr) == ("ended 2\n", "error: the reason\n")


def test_a_defect_keeps_its_traceback():
    done = _run("break_down")
    assert done.stdout == "ended 1\n"
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError"


def test_the_system_ends_it():
    assert "SIGKILL; the same command resumes it" in _run("be_killed").stdout
    assert "exit code 127; the same command resumes it" in _run("abort_as_glibc").stdout


def test_it_is_stopped_with_the_command():
    process, _ = _start()
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0].splitlines() == ["cleaned up", "KeyboardInterrupt "]


def test_it_is_killed_with_the_command():
    process, _ = _start()
    process.kill()
    process.communicate()  # ends once nobody can write any more: the other is gone, too
