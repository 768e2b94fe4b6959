"""The tests that need no training packages can be run where there are none."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("unit", "data", "evaluate", "runtime")


def test_they_are_collected_without_those_packages():
    command = [sys.executable, "-m", "pytest", "--core", "--collect-only", "-q"]
    rooms = [str(ROOT / "tests" / room) for room in ROOMS]
    done = subprocess.run([*command, *rooms], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
