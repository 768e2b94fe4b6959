"""The page of `quantdet web` in headless Chromium, for screenshots and measurements."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
WAIT_MS = 600_000


@contextmanager
def served(models: Sequence[str]) -> Iterator[str]:
    """Yield the address of the page, by a process that ends with the block."""
    command = [sys.executable, "-m", "quantdet", "web", *models, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise SystemExit("quantdet web did not start")
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield the Chromium of this machine."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


def open_page(browser: Browser, url: str, **options: Any) -> Page:
    """Return the page once its models are ready."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    wait(page)
    return page


def wait(page: Page) -> None:
    """Wait until the page has nothing left to do."""
    page.locator("#look[aria-busy=false]").wait_for()


def look_at(page: Page, pictures: Sequence[Path]) -> None:
    """Give the page picture files and wait for all of them."""
    page.set_input_files("#file", list(pictures))
    wait(page)


def saved_results(page: Page) -> list[dict[str, Any]]:
    """Return what the page saves for its first model."""
    with page.expect_download() as download:
        page.locator("#downloads button").first.click()
    records: list[dict[str, Any]] = json.loads(download.value.path().read_text("utf-8"))
    return records
