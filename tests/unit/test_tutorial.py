"""The commands and the Python of docs/tutorial are right, and so are its figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.conftest import quantdet_here, settings
from tests.unit.commands import parse, words_of
from tests.unit.scripts import load_script

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial"
PAGES = sorted(TUTORIAL.glob("*.md"))
STEPS = [page for page in PAGES if page.name[0].isdigit()]
_STEP = re.compile(
    r"(?:<!-- (?P<mark>[\w ]+) -->\n\n)?"
    r"(?:```python\n(?P<code>.*?)```|^    (?P<command>quantdet [^\n]*)$)",
    re.DOTALL | re.MULTILINE,
)
# The head alone, quickly: enough for a box that is more than a point.
LEARNS = ("train.epochs=10", "train.finetune_epochs=0", "train.learning_rate=0.05")
# Instead of the tutorial's pictures: few and small ones.
_COUNT = ("count=600", "count=30, size_hw=(90, 120)")


def steps(page):
    """Yield (mark, code, command, line) of a page in order; a step has code or a command."""
    text = page.read_text("utf-8")
    for found in _STEP.finditer(text):
        line = text.count("\n", 0, found.start("code" if found["code"] else "command"))
        if found["code"]:
            yield found["mark"], found["code"], None, line
        else:
            yield found["mark"], None, words_of(found["command"]), line


ALL_STEPS = [(page, *step) for page in STEPS for step in steps(page)]
COMMANDS = [command for _, _, _, command, _ in ALL_STEPS if command]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_parses(arguments):
    assert parse(arguments) is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ("qat", "runs/note", "--epoch", "3"),
        ("data", "prepair", "downloads"),
        ("export",),
        ("benchmark", "model.tflite", "--runs", "ten"),
    ],
)
def test_a_wrong_command_is_noticed(arguments):
    with pytest.raises(Exception, match=r"(?i)no such option|prepair|missing|valid integer"):
        parse(arguments)


def test_a_step_is_found_whole():
    """Nothing that looks like a command or Python escapes the pattern above."""
    for page in STEPS:
        text = page.read_text("utf-8")
        found = list(steps(page))
        assert text.count("```python") == sum(code is not None for _, code, _, _ in found)
        commands = re.findall(r"^ +quantdet ", text, re.MULTILINE)
        assert len(commands) == sum(command is not None for _, _, command, _ in found)
        assert {mark for mark, *_ in found} <= {None, "slow", "needs Kaggle"}


@pytest.mark.parametrize("page", STEPS, ids=lambda page: page.stem)
def test_a_page_has_every_part(page):
    """The command, the Python behind it, what to look at, a figure, what went wrong."""
    text = page.read_text("utf-8")
    assert any(command for _, _, command, _ in steps(page))
    assert any(code for _, code, _, _ in steps(page))
    for part in ("## Behind it", "## What to look at", "## What went wrong in the old way", "!["):
        assert part in text, part


def test_the_index_names_every_step():
    """The table's commands are those of the pages."""
    index = (TUTORIAL / "README.md").read_text("utf-8")
    for page in STEPS:
        (row,) = [line for line in index.splitlines() if f"]({page.name})" in line and "|" in line]
        named = [tuple(words_of(command)) for command in re.findall(r"`(quantdet .*?)`", row)]
        used = [command for _, _, command, _ in steps(page) if command]
        assert named
        for words in named:
            assert any(set(words) <= set(command) for command in used), (page.name, words)


@pytest.fixture(scope="module")
def figures():
    return load_script(TUTORIAL / "figures.py")


def test_every_figure_is_drawn_shown_and_small(figures):
    drawn = {*figures.DRAWINGS, *figures.PICTURES}
    files = list((TUTORIAL / "images").iterdir())
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert {file.stem for file in files} == drawn
    for file in files:
        assert f"](images/{file.name})" in text, file.name
        assert file.stat().st_size < 60_000, file.name


def test_figures_are_the_same_at_every_call(figures):
    assert figures.draw("folding") == figures.draw("folding")


def test_figures_show_the_tables(figures):
    """A row that is renamed or a sentence that changes is noticed here, not in a stale picture."""
    (detector, classifier) = figures.accuracy().axes
    readme = (TUTORIAL.parents[1] / "README.md").read_text("utf-8")
    assert all(f"| {text.get_text()}" in readme.replace("**", "") for text in detector.texts)
    assert [text.get_text() for text in classifier.texts][-1] == "77.9"
    assert len(figures.epochs().axes[0].lines[1].get_ydata()) == 6


def walk(chosen, monkeypatch, folder):
    """Run the chosen steps in a folder; return the names that the Python made."""
    monkeypatch.chdir(folder)
    names = {"__name__": "tutorial"}
    for page, mark, code, command, line in ALL_STEPS:
        if not chosen(mark, command):
            continue
        if code:
            # A traceback has the line of the page.
            exec(compile("\n" * line + code.replace(*_COUNT), str(page), "exec"), names)
        else:
            more = (
                settings(f"data.cache_dir={folder / 'cache'}", *LEARNS)
                if "train" in command
                else ()
            )
            done = quantdet_here(*command, *more)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
    return names


def test_the_python_of_slow_steps_compiles():
    for page, mark, code, _, _ in ALL_STEPS:
        if mark == "slow":
            compile(code, str(page), "exec")


def test_the_cheap_steps_run(tmp_path, monkeypatch):
    """What needs no training: the pages on data, and arithmetic."""

    def cheap(mark, command):
        return mark is None and (command is None or command[0] == "data")

    names = walk(cheap, monkeypatch, tmp_path)
    assert list(names["q"]) == [64, 128, 192]
    assert names["result"].pictures == names["result"].annotations == 30
    assert Path("street.jpg").is_file()
    assert Path("sheet.png").is_file()


@pytest.mark.slow
def test_the_whole_way_ends_in_a_drawn_box(tmp_path, monkeypatch):
    names = walk(lambda mark, _: mark != "needs Kaggle", monkeypatch, tmp_path)
    found = json.loads(Path("found/predictions.json").read_text("utf-8"))
    (x1, y1, x2, y2) = found["predictions"][0]["detections"][0]["box_xyxy"]
    assert x2 - x1 > 1
    assert y2 - y1 > 1
    assert len(names["found"]) > 0
    assert Path("found/street.jpg").read_bytes() != Path("street.jpg").read_bytes()
    assert Path("runs/note/report.html").is_file()
