"""Pictures of the page for the docs, from generated scenes.

    python benchmarks/screenshots_web.py [--model OTHER] [--out docs/images]

Writes web-390.webp, web-820-dark.webp and web-1440.webp (as PNG the noise of the scenes takes six
times the bytes). OTHER is shown beside the shipped model on the widest; without it the page has one
model.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image

from quantdet.data import render_scene
from web_driver import chromium, look_at, open_page, served

DEFAULT_MODEL = "voc-ssd300"
SCENES = ((0, 99), (1, 61), (1, 129), (2, 25), (0, 126))
VIEWS = (("web-390", 390, 844, "light"), ("web-820-dark", 820, 1180, "dark"))
WIDE = ("web-1440", 1440, 900, "light")
QUALITY = 88
MOST_BYTES = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="second model on the widest picture")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory() as folder:
        pictures = make_scenes(Path(folder))
        pair = [DEFAULT_MODEL, options.model] if options.model else [DEFAULT_MODEL]
        for models, views in (([DEFAULT_MODEL], VIEWS), (pair, (WIDE,))):
            with served(models) as url, chromium() as browser:
                for name, width, height, scheme in views:
                    page = open_page(
                        browser,
                        url,
                        viewport={"width": width, "height": height},
                        color_scheme=scheme,
                    )
                    look_at(page, pictures)
                    target = options.out / f"{name}.webp"
                    with Image.open(io.BytesIO(page.screenshot())) as image:
                        image.convert("RGB").save(target, quality=QUALITY, method=6)
                    written.append(target)
    total = sum(path.stat().st_size for path in written)
    for path in written:
        print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")
    if total > MOST_BYTES:
        raise SystemExit(f"{total} bytes are more than {MOST_BYTES}")


def make_scenes(folder: Path) -> list[Path]:
    paths = []
    for seed, index in SCENES:
        paths.append(folder / f"scene-{seed}-{index}.png")
        Image.fromarray(render_scene(seed, index, (600, 800))[0]).save(paths[-1])
    return paths


if __name__ == "__main__":
    main()
