from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from quantdet import cli
from quantdet.runtime.contract import load_contract
from quantdet.runtime.pretrained import FOLDER, pretrained_file
from quantdet.verify.models import file_subject
from quantdet.verify.pictures import picture_files, read_pictures

EXAMPLE = FOLDER.parent / "web" / "static" / "example.jpg"
PICTURES = 3


def silent(*_):
    pass


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Three real pictures: one photograph, mirrored, and its lower part."""
    folder = tmp_path_factory.mktemp("pictures")
    photo = np.array(Image.open(EXAMPLE).convert("RGB"))
    for name, pixels in {
        "a": photo,
        "b": photo[:, ::-1],
        "c": photo[len(photo) // 4 :],
    }.items():
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="session")
def subject(folder):
    """The shipped model as a lone file."""
    file = pretrained_file()
    contract = load_contract(file)
    pictures = read_pictures(picture_files(folder), PICTURES, contract.input)
    return file_subject(file, contract, pictures, silent)


@pytest.fixture
def quantdet(monkeypatch, capsys):
    """Run the command line here; return (exit code, output, errors)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["quantdet", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return run
