"""quantdet doctor: what is there and how to get the rest."""

import shutil

import pytest

from quantdet import __version__
from quantdet.cli import doctor


@pytest.fixture(autouse=True)
def no_devices(monkeypatch):
    """TensorFlow takes seconds to name them."""
    monkeypatch.setattr(doctor, "_devices", list)


@pytest.fixture
def bare(monkeypatch):
    """A machine with nothing on it."""
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_everything_missing_has_an_install_line(bare):
    result = doctor.examine()
    items = [*result["packages"], *result["programs"]]
    assert {"mediapipe", "playwright", "chromium", "npm", "gcc"} <= {item["name"] for item in items}
    assert all("install" in item["install"] for item in items)
    text = doctor.render(result)
    for item in items:
        assert item["install"] in text
    assert text.count("missing") == len(items)
    assert "none known" in text


def test_any_name_of_a_program_will_do(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/clang" if name == "clang" else None)
    programs = {item["name"]: item for item in doctor.examine()["programs"]}
    assert programs["gcc"]["path"] == "/usr/bin/clang"
    assert programs["gcc"]["install"] is None
    assert programs["npm"]["path"] is None


def test_doctor_names_itself():
    assert doctor.render(doctor.examine()).startswith(f"quantdet {__version__}, Python ")


def test_versions_of_what_is_there():
    packages = {item["name"]: item for item in doctor.examine()["packages"]}
    assert packages["ai-edge-litert"]["version"][0].isdigit()
    assert packages["ai-edge-litert"]["install"] is None
