"""The tests that need no training packages can be run where there are none."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_they_are_collected_without_those_packages():
    command = [sys.executable, "-m", "pytest", "--core", "--collect-only", "-p", "no:syrupy"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
