"""`data check` says that training would stop exactly where it does."""

from __future__ import annotations

import json
import shutil
import warnings

import pytest
from PIL import Image

from quantdet.config import load_config
from quantdet.data.check import check_configured
from quantdet.data.convert import convert_dataset
from quantdet.data.dataset import load_dataset
from quantdet.errors import QuantdetError
from quantdet.stages import train as stages
from quantdet.train.float_stage import build_task

SETTINGS = (
    "model.name=ssdlite",
    "model.input_size=160",
    "model.width=0.35",
    "model.weights=none",
)


class Started(Exception):
    """Training has begun: nothing stopped it."""


@pytest.fixture
def train(monkeypatch, tmp_path):
    """Return a function that trains up to the first step."""

    def stage(config, dataset, folder, watch):
        build_task(config, dataset, watch.progress)
        raise Started

    monkeypatch.setattr(stages, "training_stages", lambda: (stage, None))
    # Builds a model to know its layers, which takes seconds and has nothing to do with data.
    monkeypatch.setattr("quantdet.stages.check._unknown_layers", lambda config, classes: ())
    return lambda config: stages.run_train(config, tmp_path / "run")


def _voc(voc, train=3, **splits):
    for split, count in {"train": train, "val": 2, "test": 2, **splits}.items():
        for number in range(count):
            voc.add(f"{split}{number}", splits=(split,))
    return voc.root


def _converted(voc, kind):
    out = voc.root.parent / kind
    convert_dataset(load_dataset(_voc(voc)), out, kind)
    return out


def _coco(voc, edit, split="train"):
    root = _converted(voc, "coco")
    file = root / "annotations" / f"instances_{split}.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    return root


def _yolo(voc, edit):
    root = _converted(voc, "yolo")
    edit(root)
    return root


def _edited(voc, edit, **splits):
    root = _voc(voc, **splits)
    edit(root)
    return root


def _cut(root, *names):
    for name in names:
        path = root / "JPEGImages" / f"{name}.jpg"
        path.write_bytes(path.read_bytes()[:900])


def _turn(root):
    exif = Image.Exif()
    exif[274] = 6
    path = root / "JPEGImages" / "train0.jpg"
    with Image.open(path) as image:
        image.save(path, exif=exif)


def _lists(root, **texts):
    for split, text in texts.items():
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text(text)


def _no_labels(root):
    shutil.rmtree(root / "labels")


def _shares(content):
    for item in content["annotations"]:
        item["bbox"] = [0.1, 0.2, 0.5, 0.5]


def _texts(content):
    for item in content["annotations"]:
        item["image_id"] = f"no {item['image_id']}"


SETS = {
    "sound": (_voc, True),
    "coco": (lambda voc: _coco(voc, lambda c: None), True),
    "yolo": (lambda voc: _yolo(voc, lambda root: None), True),
    "no validation": (lambda voc: _voc(voc, val=0), True),
    "no test": (lambda voc: _voc(voc, test=0), True),
    "no train": (lambda voc: _voc(voc, train=0, other=2), False),
    "empty train": (lambda voc: _edited(voc, lambda r: _lists(r, train="")), False),
    "empty val": (lambda voc: _edited(voc, lambda r: _lists(r, val="\n")), False),
    "empty split of nobody": (lambda voc: _edited(voc, lambda r: _lists(r, tiny="")), True),
    "val is train": (
        lambda voc: _edited(voc, lambda r: _lists(r, val="train0\ntrain1\n")),
        True,
    ),
    "test is train": (lambda voc: _edited(voc, lambda r: _lists(r, test="train0\n")), True),
    "picture gone": (
        lambda voc: _edited(voc, lambda r: (r / "JPEGImages/train0.jpg").unlink()),
        False,
    ),
    "annotation gone": (
        lambda voc: _edited(voc, lambda r: (r / "Annotations/val0.xml").unlink()),
        False,
    ),
    "all validation annotations gone": (
        lambda voc: _edited(voc, lambda r: [p.unlink() for p in r.glob("Annotations/val*")]),
        False,
    ),
    "all test annotations gone": (
        lambda voc: _edited(voc, lambda r: [p.unlink() for p in r.glob("Annotations/test*")]),
        True,
    ),
    "all training annotations gone": (
        lambda voc: _edited(voc, lambda r: [p.unlink() for p in r.glob("Annotations/train*")]),
        False,
    ),
    "picture cut": (lambda voc: _edited(voc, lambda r: _cut(r, "train0")), False),
    "test picture cut": (lambda voc: _edited(voc, lambda r: _cut(r, "test1")), False),
    "all pictures cut": (
        lambda voc: _edited(voc, lambda r: _cut(r, "train0", "train1", "train2")),
        False,
    ),
    "picture of nobody cut": (
        lambda voc: _edited(voc, lambda r: _cut(r, "tiny0"), tiny=1),
        True,
    ),
    "turned picture": (lambda voc: _edited(voc, _turn), False),
    "coco without annotations": (
        lambda voc: _coco(voc, lambda c: c.update(annotations=[])),
        False,
    ),
    "coco validation without annotations": (
        lambda voc: _coco(voc, lambda c: c.update(annotations=[]), "val"),
        True,
    ),
    "coco shares": (lambda voc: _coco(voc, _shares), False),
    "coco strays": (lambda voc: _coco(voc, _texts), False),
    "yolo without labels": (lambda voc: _yolo(voc, _no_labels), False),
    "yolo broken line": (
        lambda voc: _yolo(voc, lambda r: (r / "labels/train0.txt").write_text("0 0.5 x\n")),
        False,
    ),
    "nothing": (lambda voc: voc.root, False),
}


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_check_and_train_agree(voc, train, tmp_path, name, skip_bad):
    make, sound = SETS[name]
    values = {"data": {"root": make(voc), "skip_bad": skip_bad, "cache_dir": tmp_path / "cache"}}
    config = load_config(overrides=SETTINGS, values=values)
    _agree(config, train, None if skip_bad else sound)


@pytest.mark.parametrize(
    ("setting", "sound"),
    [
        ("data.train_split=val", True),
        ("data.train_split=other", False),
        ("data.val_split=train", True),
        ("data.val_split=valid", False),
        ("data.val_split=none", True),
        ("data.test_split=tests", False),
        ("data.test_split=val", True),
        ("data.class_map={cat = ''}", False),
        ("data.classes=['dog']", False),
        ("data.class_map={cat = 'dog'}", True),
        ("data.format=yolo", False),
    ],
)
def test_they_agree_on_every_setting(voc, train, tmp_path, setting, sound):
    values = {"data": {"root": _voc(voc), "cache_dir": tmp_path / "cache"}}
    _agree(load_config(overrides=(*SETTINGS, setting), values=values), train, sound)


@pytest.mark.parametrize(("split", "sound"), [("train", False), ("val", False), ("test", True)])
def test_they_agree_on_what_a_model_of_one_object_can_learn(voc, train, make_object, split, sound):
    root = _voc(voc)
    cut = make_object(extra="<truncated>1</truncated>")
    for path in root.glob(f"Annotations/{split}*"):
        path.write_text(path.read_text().replace(make_object(), cut))
    values = {"data": {"root": root, "cache_dir": root.parent / "cache"}}
    config = load_config(preset="note", overrides=("model.weights=none",), values=values)
    _agree(config, train, sound)


@pytest.mark.parametrize("fault", [None, "empty", "cut", "split"])
def test_they_agree_on_other_sources(voc, train, tmp_path, fault):
    root = _voc(voc)
    more = tmp_path / "more" / "VOC2012"
    shutil.copytree(root, more)
    if fault == "empty":
        _lists(more, train="")
    elif fault == "cut":
        _cut(more, "train1")
    extra = [{"root": str(more), "split": "none such" if fault == "split" else ""}]
    values = {"data": {"root": root, "extra": extra, "cache_dir": tmp_path / "cache"}}
    _agree(load_config(overrides=SETTINGS, values=values), train, fault is None)


def _agree(config, train, sound):
    """Compare what the check says with what training does; ``sound`` None: whatever it is."""
    try:
        result = check_configured(config)
        first = str(result.errors[0]) if result.errors else None
    except QuantdetError as error:
        first = str(error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            train(config)
        except Started:
            stopped = None
        except QuantdetError as error:
            stopped = str(error)
    assert first == stopped
    if sound is not None:
        assert (stopped is None) == sound
