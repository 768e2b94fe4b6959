"""LiteRT.js from npm, kept; and what is said where it cannot be had."""

import pytest

from quantdet.errors import DependencyError
from quantdet.web import litertjs


def test_folder_given_must_hold_the_known_files(tmp_path, monkeypatch):
    core = tmp_path / "core"
    core.mkdir()
    for path in litertjs.CORE.paths(core):
        path.write_text("something else")
    monkeypatch.setenv(litertjs.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DependencyError, match=r"core: does not hold the files of npm @litertjs"):
        litertjs.litertjs_folder()


def test_without_npm_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv(litertjs.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError, match=r"install npm, or set QUANTDET_LITERTJS to a copy"):
        litertjs.litertjs_folder()


def test_entry_imports_files_only():
    try:
        root = litertjs.litertjs_folder()
    except DependencyError as error:
        pytest.skip(str(error))
    entry = (root / litertjs.ENTRY).read_text("utf-8")
    assert 'from "./wasm-utils/index.js"' in entry
    assert "@litertjs" not in entry
    assert all(path.stat().st_size for path in litertjs.litertjs_files(root))
    assert litertjs.litertjs_folder(root) == root
