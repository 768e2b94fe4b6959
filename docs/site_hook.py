"""Make a site of pages that are written for the repository: a hook of MkDocs.

Pages outside of docs/ become pages, too (README.md the home page), and a file that some page
leads to becomes a page that shows it. Links keep their meaning; so the site needs no other host.
Each page has the words of the theme in its own language, and leads to itself in the other.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
CHINESE = "zh-TW/"
# Page of the repository → page of the site; other pages of the root go to project/.
HOMES = {"README.md": "index.md", "README.zh-TW.md": f"{CHINESE}index.md"}
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
# The theme asks every such address for a sitemap.
_ALTERNATE = re.compile(r'\s*<link rel="alternate"[^>]*>')
_LANGUAGES = {".py": "python", ".c": "c", ".h": "c", ".toml": "toml"}


def site_path(path: str) -> str:
    """Return where the site has a file of the repository; both seen from their roots."""
    if path.startswith("docs/") and (ROOT / path).is_file():
        return path.removeprefix("docs/")
    if path in HOMES:
        return HOMES[path]
    if "/" not in path and path.endswith(".md"):
        return f"project/{path}"
    readme = posixpath.join(path, "README.md")
    if (ROOT / readme).is_file():
        return site_path(readme)
    return f"source/{path}" if path.endswith(".md") else f"source/{path}.md"


def repository_path(page: str) -> str:
    """Return the file of the repository that a page of the site shows."""
    homes = {there: here for here, there in HOMES.items()}
    outside = page.removeprefix("project/").removeprefix("source/")
    return homes.get(page) or (outside if outside != page else f"docs/{page}")


def linked(path: str, target: str) -> str | None:
    """Return the file or folder of the repository that a link of one of its pages names."""
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return found if not found.startswith("..") and (ROOT / found).exists() else None


def with_site_links(markdown: str, page: str) -> str:
    """Return a page's text with its links as they are on the site."""

    def replace(found: re.Match[str]) -> str:
        target = linked(repository_path(page), found[2])
        if target is None:
            return found[0]
        there = os.path.relpath(site_path(target), posixpath.dirname(page) or ".")
        return f"{found[1]}{there}{found[3]}"

    return _LINK.sub(replace, markdown)


def outside(files: Files) -> dict[str, str]:
    """Return page of the site → file of the repository, for all that docs/ does not have."""
    found = {site_path(name.name): name.name for name in ROOT.glob("*.md")}
    pending = [f"docs/{file.src_uri}" for file in files.documentation_pages()] + [*found.values()]
    while pending:
        path = pending.pop()
        for _, target, _ in _LINK.findall((ROOT / path).read_text("utf-8")):
            file = linked(path, target)
            page = file and site_path(file)
            if file and page and page.startswith("source/") and page not in found:
                found[page] = file
                pending += [file] if file.endswith(".md") else []
    return found


def shown(path: str) -> str:
    """Return a file or a folder of the repository as a page."""
    file = ROOT / path
    if path.endswith(".md"):
        return file.read_text("utf-8")
    title = f"---\nsearch:\n  exclude: true\n---\n\n# {path}\n\n"
    if file.is_dir():
        return title + "\n".join(f"- `{name.name}`" for name in sorted(file.iterdir()))
    language = _LANGUAGES.get(file.suffix, "text")
    return f"{title}````{language}\n{file.read_text('utf-8')}````\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for page, path in outside(files).items():
        files.append(File.generated(config, page, content=shown(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Make links those of the site."""
    return with_site_links(markdown, page.file.src_uri)


def on_page_context(
    context: dict[str, Any], page: Page, config: MkDocsConfig, **_: Any
) -> dict[str, Any]:
    """Set the language of a page and what the choice of a language leads to."""
    name = page.file.src_uri
    config.theme["language"] = "zh-TW" if name.startswith(CHINESE) else "en"
    if name in HOMES.values():
        page.meta["hide"] = ["navigation"]
    english = name.removeprefix(CHINESE)
    pages = {file.src_uri: file.url for file in context["pages"]}
    for choice, own, home in zip(
        config.extra["alternate"],
        (english, CHINESE + english),
        ("index.md", f"{CHINESE}index.md"),
        strict=True,
    ):
        choice["link"] = pages.get(own, pages[home])
    return context


def on_post_page(output: str, **_: Any) -> str:
    """Leave out what would ask for files that are not there."""
    return _ALTERNATE.sub("", output)
