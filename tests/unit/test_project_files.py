"""Files for people who meet the project: they are valid, and say what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import quantdet

ROOT = Path(__file__).parents[2]
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def text_of(name):
    return (ROOT / name).read_text("utf-8")


def test_the_citation_names_this_version():
    fields = dict(re.findall(r"^([\w-]+): (.+)$", text_of("CITATION.cff"), re.MULTILINE))
    assert fields["version"] == quantdet.__version__
    assert fields["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title"} <= set(fields)


def test_issues_and_pull_requests_ask_for_doctor():
    pages = [*(ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")]
    pages.append(ROOT / ".github" / "pull_request_template.md")
    assert len(pages) == 3
    assert all("quantdet doctor --json" in page.read_text("utf-8") for page in pages)


def test_forms_are_valid():
    yaml = pytest.importorskip("yaml")
    for page in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"):
        form = yaml.safe_load(page.read_text("utf-8"))
        assert form["name"]
        assert form["description"]
        fields = [item for item in form["body"] if item["type"] != "markdown"]
        assert len({item["id"] for item in fields}) == len(fields)
        assert all(item["attributes"]["label"] for item in fields)


def test_the_changelog_has_the_form_it_names():
    """Keep a Changelog 1.1.0: versions, below them kinds, below them themes of ours."""
    log = text_of("CHANGELOG.md")
    assert "keepachangelog.com" in log
    headings = re.findall(r"^(#+) (.+)$", log, re.MULTILINE)
    assert headings[1] == ("##", "[Unreleased]")
    for marks, title in headings[1:]:
        if marks == "##":
            assert re.fullmatch(r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title)
        elif marks == "###":
            assert title in KINDS
