"""Every relative link and picture of every page leads somewhere, its anchor too."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/**/*.md")])
_FENCED = re.compile(r"^```.*?^```$|^ {4}[^\n]*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
_ELSEWHERE = ("https://", "http://", "mailto:")


def links(text):
    """Yield (target, anchor) of what is relative, outside of code."""
    for target, anchor in _LINK.findall(re.sub(r"`[^`\n]*`", "", _FENCED.sub("", text))):
        if not target.startswith(_ELSEWHERE):
            yield unquote(target), unquote(anchor)


def anchors(text):
    """Return the names that links may give to the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE)
    shown = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    names = Counter()
    for name in (re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in shown):
        names[name] += 1
        yield name if names[name] == 1 else f"{name}-{names[name] - 1}"


def broken(page):
    """Yield the links of a page that lead nowhere."""
    for target, anchor in links(page.read_text("utf-8")):
        file = page.parent / target if target else page
        if not file.exists():
            yield target
        elif anchor and anchor not in set(anchors(file.read_text("utf-8"))):
            yield f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert not list(broken(page))


def test_the_site_lists_every_page():
    """MkDocs asks too, but only where it is installed."""
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    listed = set(re.findall(r"(\S+\.md)$", nav, re.MULTILINE))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages - listed if not page.startswith("decisions/0")} == set()


def test_a_broken_link_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`: c\n# D\n# D\n[1](no.md) [2](#no) ![3](no.png) [4](#a-b-c) [5](#d-1) `[6](no)`\n"
        "```\n# E\n[7](no)\n```\n[8](page.md#e)\n"
    )
    assert list(broken(page)) == ["no.md", "#no", "no.png", "page.md#e"]
