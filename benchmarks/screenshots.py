"""Pictures of a report for the docs, taken in Chromium from a finished run.

    quantdet demo
    python benchmarks/screenshots.py demo/run --out docs/images

Give runs of generated scenes only: pictures of other data sets must not go into the docs.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from quantdet import Run, run_report

# Flat colours and their blends: a palette makes the files a third of the size.
_COLORS = 192
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")


@dataclass(frozen=True)
class Shot:
    """What to show: from the top of ``section`` on, ``height`` pixels of a window."""

    name: str
    section: str
    width: int
    height: int
    scheme: str


SHOTS = (
    Shot("summary", "content", 1440, 900, "light"),
    Shot("classes", "classes", 1440, 900, "dark"),
    Shot("errors", "errors", 820, 1100, "light"),
    Shot("pictures", "pictures", 1440, 1000, "light"),
    Shot("layers", "layers", 1440, 1000, "dark"),
    Shot("phone", "content", 390, 844, "dark"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder, e.g. demo/run")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        report = run_report(Run.open(arguments.run), Path(folder) / "report.html")
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        for shot in SHOTS:
            path = arguments.out / f"report-{shot.name}.png"
            _save(_taken(browser, report, shot), path)
            print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")
        browser.close()


def _taken(browser: Browser, report: Path, shot: Shot) -> bytes:
    size: Any = {"width": shot.width, "height": shot.height}
    page = browser.new_page(viewport=size, color_scheme=shot.scheme)
    page.goto(f"{report.as_uri()}#{shot.section}")
    taken = page.screenshot()
    page.close()
    return taken


def _save(png: bytes, path: Path) -> None:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(_COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
