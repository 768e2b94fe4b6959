"""Every stage of a run survives a fault at each of its steps: tests/faults.py says what faults."""

from __future__ import annotations

import shutil

import pytest

from quantdet.pipeline import STAGES
from tests.e2e.conftest import quantdet_here, settings
from tests.eager import eager_steps
from tests.faults import Workplace, say_numbers

# So that the smallest run takes seconds; a stage that is not named here is run as it is.
OPTIONS = {
    "evaluate": ("--parity-pictures", "1"),
    "analyse": ("--no-sensitivity", "--pictures", "2"),
    "verify": ("--target", "litert-reference", "--pictures", "2"),
}
# Those without TensorFlow or training, of which some faults are tried every time.
CHEAP = ("report",)


def _command(name, place, scenes):
    if name == "train":
        options = settings(f"data.cache_dir={place / 'cache'}", "model.backbone=tiny")
        return ["train", "--data", scenes, "--out", place / "run", *options]
    return [name, place / "run", *OPTIONS.get(name, ())]


@pytest.fixture
def eager():
    with eager_steps():
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where run and cache are; paths stand in results."""
    return tmp_path_factory.mktemp("stages") / "place"


@pytest.fixture(scope="module")
def before(place, scenes, tiny_backbone):
    """Stage → what is there before it, as the command line makes it."""
    found = {}
    place.mkdir()
    for name in STAGES:
        found[name] = place.parent / name
        shutil.copytree(place, found[name])
        quantdet_here(*_command(name, place, scenes), check=0)
    return found


@pytest.mark.parametrize("name", CHEAP)
def test_some_steps_go_wrong(name, finished, scenes, tmp_path):
    before, place = tmp_path / "before", tmp_path / "place"
    shutil.copytree(finished, before / "run")
    work = Workplace(before, place, _command(name, place, scenes), every=9)
    work.check_death(list(work.deaths)[-2])
    work.check_error(*work.errors[-2])


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
@pytest.mark.usefixtures("eager")
def test_every_step_goes_wrong(name, before, place, scenes):
    work = Workplace(before[name], place, _command(name, place, scenes))
    say_numbers(name, work)
    for where in work.deaths:
        work.check_death(where)
    for at, kind in work.errors:
        work.check_error(at, kind)
