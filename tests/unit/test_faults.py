"""Every command that writes without a training survives a fault at each of its steps."""

from __future__ import annotations

import shutil
import zipfile

import pytest

from quantdet.data.scenes import generate_scenes
from quantdet.runtime.contract import contract_path
from tests.faults import Workplace, say_numbers, some_of
from tests.runtime.helpers import make_contract, tiny_model


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A small data set as folder and zip, and a model."""
    root = tmp_path_factory.mktemp("before")
    data = root / "scenes"
    generate_scenes(tmp_path_factory.mktemp("scenes"), count=4, size_hw=(64, 64)).rename(data)
    with zipfile.ZipFile(root / "scenes.zip", "w") as archive:
        for path in sorted(data.rglob("*")):
            archive.write(path, f"VOC2012/{path.relative_to(data)}")
    model = root / "model.tflite"
    model.write_bytes(tiny_model("single", "uint8"))
    make_contract(model, "single").save(contract_path(model))
    (root / "out").mkdir()
    shutil.copy(data / "JPEGImages" / "000001.jpg", root / "out" / "000002.jpg")  # the user's
    return root


COMMANDS = {
    "predict": "predict @model.tflite @scenes/JPEGImages --out @out --csv",
    "predict for other tools": "predict @model.tflite @scenes/JPEGImages --out @out --no-draw "
    "--format jsonl --format csv --format coco --format yolo --format voc",
    "data download": "data download voc2012 --from @scenes.zip --out @raw",
    "data prepare": "data prepare @scenes --out @kit",
    "data prepare --copy": "data prepare @scenes --out @kit --copy",
    "data prepare --remove-source": "data prepare @scenes --out @kit --remove-source",
    "data convert": "data convert @scenes --to yolo --out @yolo",
    "data show": "data show @scenes --out @sheet.png --count 2",
    "data check": "data check @scenes --out @check.json",
    "export": "export @model.tflite --format labels --format c-array",
    "web": "web @model.tflite --static @page",
}
"""@ is the folder with what ``before`` made."""


def _workplace(name, before, tmp_path, every=1):
    place = tmp_path / "place"
    words = COMMANDS[name].split()
    return Workplace(before, place, [word.replace("@", f"{place}/") for word in words], every)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "web"])  # 30 MB
def test_some_steps_go_wrong(name, before, tmp_path):
    work = _workplace(name, before, tmp_path, every=9)
    for where in some_of(list(work.deaths)):
        work.check_death(where)
    for at, kind in some_of(work.errors):
        work.check_error(at, kind)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_step_goes_wrong(name, before, tmp_path):
    work = _workplace(name, before, tmp_path)
    say_numbers(name, work)
    for where in work.deaths:
        work.check_death(where)
    for at, kind in work.errors:
        work.check_error(at, kind)
