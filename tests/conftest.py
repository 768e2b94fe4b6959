"""What all tests share."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def _little_garbage():
    """LiteRT's converter collects garbage at every call: of this module, not of the whole heap."""
    gc.collect()
    gc.freeze()
