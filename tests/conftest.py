"""What all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests import tiny_backbone as tiny

# TensorFlow chooses its kernels by the processor; without oneDNN it has none for channels first and
# for dilated transposed convolutions. So every machine tests the same.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

HERE = Path(__file__).parent
# What needs the packages that train; `pytest --core` runs the rest without them.
TRAINING_PACKAGES = ("tensorflow", "keras", "jax", "torch")
TRAINING_TESTS = {
    HERE / name
    for name in (
        *("e2e", "export", "fuzz", "models", "quant", "train"),
        *("unit/test_kinds.py", "unit/test_public_api.py", "unit/test_reference.py"),
        *("data/test_check_and_train.py", "data/test_judging.py", "data/test_contents.py"),
        *("evaluate/test_road_of_thresholds.py", "evaluate/test_threshold_choice.py"),
    )
}

# Longest first, so that no worker is left alone with one at the end. The first two start apart:
# both kinds of end-to-end tests train first, and the second would only wait for the same run.
FIRST = (
    *("e2e/test_analyse.py", "quant/test_layer_options.py", "e2e/test_detector_road.py"),
    *("quant/test_random_nets.py", "e2e/test_bad_input.py", "quant/test_layer_types.py"),
    *("quant/test_analyse.py", "quant/test_operations.py", "train/test_ssd_stage.py"),
    *("train/test_loop.py", "web/test_page.py", "train/test_float_stage.py"),
)

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)


def pytest_addoption(parser):
    parser.addoption(
        "--core", action="store_true", help="only tests that need no quantdet[train]; hides it"
    )


def pytest_configure(config):
    if config.getoption("--core"):
        # An import of theirs fails now, here and where they are installed.
        sys.modules.update(dict.fromkeys(TRAINING_PACKAGES))


def pytest_ignore_collect(collection_path, config):
    if config.getoption("--core") and collection_path in TRAINING_TESTS:
        return True
    return None


def pytest_collection_modifyitems(items):
    order = {HERE / name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(autouse=True, scope="module")
def _little_garbage():
    """LiteRT's converter collects garbage at every call: of this module, not of the whole heap."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def tiny_backbone():
    with tiny.registered() as name:
        yield name


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium; one for all tests of a process, since Playwright has one loop in each."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()
