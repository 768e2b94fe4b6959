"""LiteRT.js in headless Chromium: the very code of ``quantdet web``, fed with the same pixels.

Its kernels are XNNPACK, compiled to WebAssembly, so that is how it rounds. No server is needed: the
browser's requests are answered from here, and none leaves this machine.
"""

from __future__ import annotations

import base64
import mimetypes
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import DependencyError, ModelError
from quantdet.evaluate.end_to_end import Outputs
from quantdet.progress import Tick
from quantdet.results.verification import TargetResult
from quantdet.runtime.contract import Contract
from quantdet.runtime.detector import Detector
from quantdet.verify.subject import Subject, compared, real_outputs
from quantdet.verify.verdict import judge
from quantdet.web.litertjs import VERSION, litertjs_folder
from quantdet.web.site import Content, Files, Shown, make_site

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_ORIGIN = "http://localhost"
_PAGE = "verify.html"
# Without these two WebAssembly has no threads.
_HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
}
_HTML = b"""<!doctype html>
<script type="module">
import { compile, loadRuntime } from "./engine.js";
import { makeQuantizer } from "./tensors.js";

const text = (values) => btoa(
  Array.from(new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    (byte) => String.fromCharCode(byte)).join(""));

self.start = async (file, contract) => {
  const runtime = await loadRuntime("/litertjs/");
  const run = await compile(runtime, file, contract);
  const quantize = makeQuantizer(contract.input);
  self.answer = async (pixels) => {
    const input = quantize(Uint8Array.from(atob(pixels), (letter) => letter.charCodeAt(0)));
    const start = performance.now();
    const outputs = await run(input);
    const ms = performance.now() - start;
    const texts = Object.entries(outputs).map(([part, values]) => [part, text(values)]);
    return { ms, outputs: Object.fromEntries(texts) };
  };
  return runtime.threads;
};
self.ready = true;
</script>
"""


def verify(subject: Subject, tick: Tick) -> TargetResult:
    """Run the pictures in the browser.

    Raises:
        DependencyError: playwright, a browser or LiteRT.js is missing.
        ModelError: LiteRT.js cannot run this file.
    """
    # Playwright refuses to block a thread that has an event loop, as a notebook's has.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(_verify, subject, tick).result()


def _verify(subject: Subject, tick: Tick) -> TargetResult:
    shown = Shown(subject.model_file.stem, Detector(subject.model_file))
    problem = shown.litertjs_problem()
    if problem:
        raise ModelError(f"{subject.model_file}: {problem}")
    executable = _executable()
    files = {**make_site([shown], litertjs_folder(), server=False), _PAGE: _HTML}
    with _page(executable, files) as page:
        file = next(url for url, content in files.items() if content == subject.model_file)
        contract = subject.contract.model_dump(mode="json")
        threads = page.evaluate("([file, contract]) => start(file, contract)", [file, contract])
        runner = _Runner(page, subject.contract)
        outputs = real_outputs(runner, subject.contract, subject.pictures.pixels, tick)
        browser = page.context.browser
        assert browser is not None  # _page has launched it
        version = browser.version
    return judge(
        subject,
        outputs,
        "xnnpack",
        version=VERSION,
        latency_ms={str(threads): round(median(runner.times_ms), 3)},
        details={"browser": f"Chromium {version}", "playwright": metadata.version("playwright")},
    )


class _Runner:
    """Pixels of one picture → output name → integers, through the page."""

    def __init__(self, page: Page, contract: Contract) -> None:
        self._page = page
        self._specs = compared(contract)
        self.times_ms: list[float] = []

    def __call__(self, picture: NDArray[np.uint8]) -> Outputs:
        text = base64.b64encode(picture.tobytes()).decode()
        found = self._page.evaluate("(pixels) => answer(pixels)", text)
        self.times_ms.append(found["ms"])
        return {
            spec.name: np.frombuffer(base64.b64decode(found["outputs"][part]), spec.dtype).reshape(
                spec.shape
            )
            for part, spec in self._specs.items()
        }


@contextmanager
def _page(executable: str, files: Files) -> Iterator[Page]:
    """Yield a page that sees ``files`` and nothing else."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise DependencyError("playwright is not installed: pip install playwright") from None

    def respond(route: Route) -> None:
        path = urlsplit(route.request.url).path.lstrip("/")
        if not route.request.url.startswith(_ORIGIN) or path not in files:
            route.fulfill(status=404)
            return
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        headers = {**_HEADERS, "content-type": kind}
        route.fulfill(body=_bytes(files[path]), headers=headers)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_arguments())
        try:
            context = browser.new_context()
            context.route("**/*", respond)
            page = context.new_page()
            page.goto(f"{_ORIGIN}/{_PAGE}")
            page.wait_for_function("self.ready")
            yield page
        finally:
            browser.close()


def _bytes(content: Content) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _executable() -> str:
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise DependencyError(
            "no Chromium is installed: apt install chromium, or get it from your system's packages"
        )
    return found


def _arguments() -> list[str]:
    quiet = ["--disable-gpu", "--no-first-run", "--disable-background-networking"]
    # Chromium's sandbox does not work for root.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [*quiet, "--no-sandbox"] if root else quiet
