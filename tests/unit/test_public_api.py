"""The public names load lazily and are what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest

import quantdet


@pytest.mark.parametrize("name", [n for n in quantdet.__all__ if n != "__version__"])
def test_name_is_there(name):
    assert callable(getattr(quantdet, name))


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = quantdet.nothing


def test_device_side_imports_no_training_package():
    code = (
        "import sys, quantdet; quantdet.Detector; import quantdet.runtime.predict\n"
        "print([m for m in ('tensorflow', 'keras', 'cv2', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
