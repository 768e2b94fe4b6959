"""The pages in Traditional Chinese say what the English ones do: commands, code, figures, parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TUTORIAL = sorted((DOCS / "tutorial").glob("*.md"))
PAIRS = [
    *((page, DOCS / "zh-TW" / "tutorial" / page.name) for page in TUTORIAL),
    (ROOT / "README.md", ROOT / "README.zh-TW.md"),
]
_PYTHON_COMMENT = re.compile(r"\s+#(?= ).*$", re.MULTILINE)
_SHELL_COMMENT = re.compile(r"\s{2,}#.*$", re.MULTILINE)
# Lines to type: a shell's, or what a page shows to compute with.
_TYPED = re.compile(r"^ {4}((?:quantdet|pip|make|python|tensorboard) .*)$", re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e-\d+)?")


def code(text):
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [_PYTHON_COMMENT.sub("", block) for block in blocks]


def typed(text):
    return [_SHELL_COMMENT.sub("", line).rstrip() for line in _TYPED.findall(text)]


def pictures(text):
    return [Path(target).name for target in re.findall(r"!\[.*?\]\((\S+?)\)", text)]


def numbers(text):
    """Return every number, wherever it is: languages order a sentence differently."""
    # "-TW" is in no English link; the numbers of a link are those of its page.
    return sorted(_NUMBER.findall(text))


def headings(text):
    return [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]


def marks(text):
    return re.findall(r"<!-- .*? -->", text)


def rows(text):
    return text.count("\n|")


@pytest.mark.parametrize("same", [code, typed, pictures, numbers, headings, marks, rows])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].stem)
def test_languages_are_in_step(pair, same):
    english, chinese = (page.read_text("utf-8") for page in pair)
    assert same(chinese) == same(english)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].stem)
def test_each_page_leads_to_the_other(pair):
    for page, other in (pair, pair[::-1]):
        targets = re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8"))
        assert other.resolve() in {(page.parent / target).resolve() for target in targets}


def test_no_page_is_left_over():
    chinese = set((DOCS / "zh-TW").rglob("*.md"))
    assert chinese == {page for _, page in PAIRS[:-1]}


def test_a_difference_is_noticed():
    text = "## Part\n\n    quantdet qat RUN  # why\n\n![A](x/a.png)\n\n60.5 % of 1e-5\n"
    assert typed(text) == ["quantdet qat RUN"]
    assert numbers(text) == ["1e-5", "60.5"]
    assert pictures(text) == ["a.png"]
    assert code("```python\nf(x)  # why\n```\n") == ["f(x)\n"]
