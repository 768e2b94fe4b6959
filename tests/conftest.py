"""What all tests share."""

from __future__ import annotations

import gc
import shutil

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)


@pytest.fixture(autouse=True, scope="module")
def _little_garbage():
    """LiteRT's converter collects garbage at every call: of this module, not of the whole heap."""
    gc.collect()
    gc.freeze()


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
