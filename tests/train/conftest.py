import sys
from pathlib import Path

import pytest
from tests import tiny_backbone as tiny

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def tiny_backbone():
    with tiny.registered() as name:
        yield name
