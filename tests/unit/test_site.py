"""The site of docs/: links keep their meaning, and nothing is loaded from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.scripts import load_script

pytest.importorskip("mkdocs", reason='pip install -e ".[docs]"')
ROOT = Path(__file__).parents[2]
_LOADED = re.compile(r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="?(https?:)?//')


@pytest.fixture(scope="module")
def hook():
    return load_script(ROOT / "docs" / "site_hook.py")


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("docs/data.md", "data.md"),
        ("docs/images/web-390.webp", "images/web-390.webp"),
        ("docs/decisions", "decisions/README.md"),
        ("README.md", "index.md"),
        ("README.zh-TW.md", "zh-TW/index.md"),
        ("CHANGELOG.md", "project/CHANGELOG.md"),
        ("LICENSE", "source/LICENSE.md"),
        ("examples/c/README.md", "source/examples/c/README.md"),
        ("src/quantdet/kinds.py", "source/src/quantdet/kinds.py.md"),
    ],
)
def test_every_file_has_a_page(hook, path, page):
    assert hook.site_path(path) == page


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("index.md", "docs/data.md#checks", "data.md#checks"),
        ("project/CHANGELOG.md", "docs/gpu.md", "../gpu.md"),
        ("tutorial/08-conversion.md", "../../README.md#figures", "../index.md#figures"),
        ("tour.md", "../src/quantdet/kinds.py", "source/src/quantdet/kinds.py.md"),
        ("source/examples/c/README.md", "../../LICENSE", "../../LICENSE.md"),
        ("data.md", "https://example.org/x.md", "https://example.org/x.md"),
        ("data.md", "nothing.md", "nothing.md"),
    ],
)
def test_links_lead_to_the_page_of_their_file(hook, page, link, there):
    assert hook.with_site_links(f"[a]({link})", page) == f"[a]({there})"


@pytest.mark.slow
def test_the_site_is_built_and_needs_no_other_host(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        assert not _LOADED.search(page.read_text("utf-8")), page
    assert 'lang="zh-TW"' in (tmp_path / "zh-TW" / "index.html").read_text("utf-8")


def test_what_is_loaded_from_elsewhere_is_noticed():
    assert _LOADED.search('<script async src="https://cdn.example.org/x.js"></script>')
    assert _LOADED.search('<link rel=stylesheet href="//fonts.example.org">')
    assert not _LOADED.search('<a href="https://example.org">x</a><script src="x.js">')
