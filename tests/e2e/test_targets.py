"""The exported file on what else runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_every_operator_runs_on_the_ethos_u55(finished, tmp_path):
    vela = shutil.which("vela", path=str(Path(sys.executable).parent)) or shutil.which("vela")
    if vela is None:
        pytest.skip("vela is not installed: pip install ethos-u-vela")
    done = subprocess.run(
        [vela, "--accelerator-config", "ethos-u55-128", "--output-dir", tmp_path,
         finished / "export/model.tflite"],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert re.search(r"CPU operators = 0 \(0\.0%\)", done.stdout)
    assert re.search(r"NPU operators = [1-9]\d* \(100\.0%\)", done.stdout)
