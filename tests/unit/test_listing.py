import re
from pathlib import Path

import quantdet
from quantdet.system.listing import shown_files

SOURCE = Path(quantdet.__file__).parent
# Those that look at what is no result: is a folder empty, what is unfinished, what a program wrote
# into a temporary folder, and our own package.
OTHERS = {
    "system/listing.py",
    "system/temporary.py",
    "system/npm.py",
    "models/weights.py",
    "verify/targets/ethos_u.py",
    "runtime/journal.py",
    "presets/__init__.py",
    "web/site.py",
    # Looks at each name itself.
    "data/formats/folders.py",
    "data/prepare.py",
}
_LISTS = re.compile(r"\.(?:rglob|glob|iterdir)\(|scandir\(|listdir\(|os\.walk\(")
_EMPTY = re.compile(r"any\([\w.()]+\.iterdir\(\)\)")


def test_names_with_a_dot_are_not_shown(tmp_path):
    for name in (".model-x.tflite", "b.tflite", "a.tflite", ".git/c.tflite", "sub/.d.tflite"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "folder.tflite").mkdir()
    assert [path.name for path in shown_files(tmp_path, "*.tflite")] == ["a.tflite", "b.tflite"]
    assert [path.name for path in shown_files(tmp_path, "**/*.tflite")] == ["a.tflite", "b.tflite"]
    assert shown_files(tmp_path / "none") == []
    hidden = tmp_path / ".git"
    assert [path.name for path in shown_files(hidden)] == ["c.tflite"]


def test_every_listing_is_this_one():
    """A result that is found by its name alone may be a half-written file of a dead process."""
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if _LISTS.search(_EMPTY.sub("", path.read_text("utf-8")))
    }
    assert found - OTHERS == {
        "data/sources.py",  # takes a folder over as it is
        "runtime/sources.py",  # globs of the user, which skip dots unless they name them
        "system/atomic.py",  # moves what it has made
        "web/static_export.py",  # refuses what it does not know
    }
