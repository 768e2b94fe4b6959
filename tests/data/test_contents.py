"""A data set is known again wherever it lies, and what differs is named."""

from __future__ import annotations

import re
import shutil

import pytest

from quantdet.config import load_config
from quantdet.data.contents import describe_contents, require_same
from quantdet.data.dataset import load_dataset
from quantdet.errors import ConfigError, DataError
from quantdet.results.contents import Contents
from quantdet.runs import Run
from quantdet.stages import train
from quantdet.stages.settings import update_config


@pytest.fixture
def trained(voc, tmp_path):
    """The run folder of a model that was trained with five pictures."""
    voc.add("a").add("b").add("c").add("d", splits=("val",)).add("e", splits=("test",))
    run = Run.create(tmp_path / "run", load_config(values={"data": {"root": voc.root}}))
    run.float_dir.mkdir()
    run.record("train", {"identity": {"labels": ["cat"]}})
    describe_contents(load_dataset(voc.root)).save(run.pictures_file)
    return run


@pytest.fixture
def moved(voc, tmp_path):
    """A function that moves the data set and returns where it is now."""

    def move():
        return shutil.move(voc.root, tmp_path / "elsewhere" / "VOC2012")

    return move


def test_contents_come_back_from_their_file(trained, voc):
    contents = Contents.read(trained.pictures_file)
    assert contents == describe_contents(load_dataset(voc.root))
    assert [*contents.splits["train"]] == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["{", '{"labels": 3}', '{"version": 99}'])
def test_damaged_file_is_named(trained, text):
    trained.pictures_file.write_text(text)
    with pytest.raises(DataError, match=r"pictures\.json: not readable"):
        Contents.read(trained.pictures_file)


def test_the_same_data_elsewhere_is_taken_and_noted(trained, moved):
    new = moved()
    with pytest.raises(DataError, match=r"VOC2012: no such folder; .*--data"):
        update_config(trained, ["data.skip_bad=true"])
    update_config(trained, ["qat.epochs=2"], new)
    config = trained.load_config()
    assert (config.data.root, config.qat.epochs) == (new, 2)


def test_other_settings_stay_refused_with_the_data_elsewhere(trained, moved):
    with pytest.raises(ConfigError, match=r"another train\.seed"):
        update_config(trained, ["train.seed=3"], moved())


def test_only_the_test_split_has_to_be_there_to_measure(trained, moved):
    new = moved()
    for split in ("train", "val"):
        (new / "ImageSets/Main" / f"{split}.txt").unlink()
    with pytest.raises(DataError, match="has no split 'train'"):
        update_config(trained, data=new)
    update_config(trained, data=new, splits=("test",))
    assert trained.load_config().data.root == new


def _picture(root):
    path = root / "JPEGImages" / "b.jpg"
    path.write_bytes(path.read_bytes() + b"\x00")


def _annotation(root):
    path = root / "Annotations" / "b.xml"
    path.write_text(path.read_text().replace("<difficult>0", "<difficult>1"))


def _list(root, split, text):
    (root / "ImageSets" / "Main" / f"{split}.txt").write_text(text)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_picture, "split 'train' has 3 pictures, 1 differ, first 'b': another picture"),
        (_annotation, "split 'train' has 3 pictures, 1 differ, first 'b': another annotation"),
        (
            lambda r: _list(r, "train", "a\nb\n"),
            "split 'train' has 2 pictures (there were 3), 1 differ, first 'c': is missing",
        ),
        (
            lambda r: _list(r, "val", "d\nc\n"),
            "split 'val' has 2 pictures (there were 1), 1 differ, first 'c': is new",
        ),
        (lambda r: _list(r, "train", "b\na\nc\n"), "split 'train' is in another order"),
    ],
)
def test_other_data_is_refused_with_what_differs(trained, moved, change, says):
    new = moved()
    change(new)
    before = trained.config_file.read_bytes()
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        update_config(trained, data=new)
    assert str(new) in str(caught.value)
    assert trained.config_file.read_bytes() == before


def test_data_that_changed_where_it_is_is_not_trained_on(trained, voc, monkeypatch):
    monkeypatch.setattr(train, "training_stages", lambda: (None, None))
    _annotation(voc.root)
    with pytest.raises(DataError, match=r"not the data that .*run was trained with.*'b'"):
        train.run_qat(trained)


def test_data_that_is_named_is_compared_even_where_it_was(trained, voc):
    _annotation(voc.root)
    with pytest.raises(DataError, match="another annotation"):
        update_config(trained, data=voc.root)


def test_an_interrupted_training_goes_on_with_its_data_elsewhere(voc, moved, tmp_path, monkeypatch):
    started = []

    def stage(config, dataset, folder, progress):
        folder.mkdir(exist_ok=True)
        started.append(config.data.root)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "training_stages", lambda: (stage, None))
    monkeypatch.setattr("quantdet.stages.check._unknown_layers", lambda config, classes: ())
    voc.add("a").add("b", splits=("val",))
    for place in (lambda: voc.root, moved):
        root = place()
        config = load_config(values={"data": {"root": root}})
        with pytest.raises(KeyboardInterrupt):
            train.run_train(config, tmp_path / "run")
    assert started == [voc.root, root]
    _picture(root)
    with pytest.raises(DataError, match="split 'val' has 1 pictures, 1 differ"):
        train.run_train(config, tmp_path / "run")


def test_before_anything_is_trained_the_data_may_change(voc, tmp_path, monkeypatch):
    def stage(config, dataset, folder, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "training_stages", lambda: (stage, None))
    monkeypatch.setattr("quantdet.stages.check._unknown_layers", lambda config, classes: ())
    config = load_config(values={"data": {"root": voc.add("a").root}})
    for name in "bc":
        with pytest.raises(KeyboardInterrupt):
            train.run_train(config, tmp_path / "run")
        voc.add(name)


def test_other_classes_are_told(tmp_path):
    run = Run(tmp_path)
    Contents(labels=("cat", "dog")).save(run.pictures_file)
    with pytest.raises(DataError, match="the classes were cat, dog and are cat"):
        require_same(run, Contents(labels=("cat",)), tmp_path)


def test_pictures_of_one_id_from_two_sources_stay_apart(voc, tmp_path):
    voc.add("a")
    dataset = load_dataset(voc.root)
    doubled = {"train": dataset.splits["train"] * 2}
    contents = describe_contents(type(dataset)(tmp_path, dataset.labels, doubled))
    assert len(contents.splits["train"]) == 2


def test_a_run_without_the_list_of_pictures_refuses_as_before(trained, moved):
    trained.pictures_file.unlink()
    with pytest.raises(ConfigError, match=r"another data\.root"):
        update_config(trained, data=moved())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"{", "Invalid JSON"),
        (b'{"labels": 1}', "valid array"),
    ],
)
def test_what_is_not_readable_is_told(tmp_path, content, reason):
    path = tmp_path / "pictures.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as told:
        Contents.read(path)
    before, after = str(told.value).split("; restore it, or remove it: ")
    assert before.startswith(f"{path}: not readable (")
    assert reason in before
    assert after == "then nobody can tell whether the data is that of training"
