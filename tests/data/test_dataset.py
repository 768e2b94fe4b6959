from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from quantdet.data.dataset import fingerprint, load_dataset
from quantdet.data.labels import VOC_CLASSES, discover_labels, read_label_file
from quantdet.errors import ConfigError, DataError


def test_loads_splits_in_list_order(voc):
    voc.add("b").add("a").add("c", splits=("val",))
    dataset = load_dataset(voc.root)
    assert [s.image_id for s in dataset.splits["train"]] == ["b", "a"]
    assert list(dataset.splits) == ["train", "val"]
    assert dataset.labels == ("cat",)
    assert dataset.root == voc.root
    assert list(load_dataset(voc.root, splits=["val"]).splits) == ["val"]


def test_labels_do_not_depend_on_the_splits_asked_for(voc, make_object):
    voc.add("a", make_object("zebra")).add("b", make_object("ant"), splits=("val",))
    assert load_dataset(voc.root, splits=["train"]).labels == ("ant", "zebra")


def test_discover_labels():
    assert discover_labels(["person", "cat"]) == ("cat", "person")
    assert discover_labels(VOC_CLASSES[:11]) == VOC_CLASSES
    assert discover_labels(reversed(VOC_CLASSES[:10])) == VOC_CLASSES[:10]
    assert discover_labels(["cat", "zebra", "Ant"]) == ("Ant", "cat", "zebra")
    assert len(VOC_CLASSES) == 20


def test_label_file(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("\ufeffdog\n\n cat \n", "utf-8")
    assert read_label_file(path) == ("dog", "cat")
    path.write_text("dog\ncat\ndog\n")
    with pytest.raises(DataError, match=r"labels\.txt: names dog more than once; remove"):
        read_label_file(path)
    path.write_text("\n")
    with pytest.raises(DataError, match=r"labels\.txt: has no class names; write one"):
        read_label_file(path)
    with pytest.raises(DataError, match=r"none\.txt: label file not readable"):
        read_label_file(tmp_path / "none.txt")


def test_given_labels_set_the_order(voc, make_object, tmp_path):
    voc.add("a", make_object("cat") + make_object("dog"))
    assert load_dataset(voc.root, labels=["dog", "cat"]).labels == ("dog", "cat")
    path = tmp_path / "labels.txt"
    path.write_text("dog\nbird\ncat\n")
    assert load_dataset(voc.root, labels=path).labels == ("dog", "bird", "cat")


def test_unknown_class(voc, make_object):
    voc.add("a", make_object("cat")).add("b", make_object("cow"))
    with pytest.raises(DataError, match=r"b\.xml: class 'cow'.*labels \(cat\); add .*--skip"):
        load_dataset(voc.root, labels=["cat"])
    dataset = load_dataset(voc.root, labels=["cat"], skip_bad=True)
    assert [s.image_id for s in dataset.splits["train"]] == ["a"]
    assert len(dataset.skipped) == 1
    assert "b.xml: class 'cow'" in dataset.skipped[0]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda v: v.add_xml("b", b"<annotation>"), r"b\.xml: not valid XML.*correct the file"),
        (lambda v: (v.root / "JPEGImages/b.jpg").unlink(), r"b\.jpg: picture not found.*restore"),
        (lambda v: (v.root / "Annotations/b.xml").unlink(), r"b\.xml: annotation not.*restore"),
    ],
)
def test_bad_sample_stops_or_is_skipped(voc, spoil, says):
    voc.add("a", splits=("train", "trainval")).add("b", splits=("train", "trainval")).add("c")
    spoil(voc)
    with pytest.raises(DataError, match=says + ".*--skip-bad"):
        load_dataset(voc.root)
    dataset = load_dataset(voc.root, skip_bad=True)
    assert [s.image_id for s in dataset.splits["train"]] == ["a", "c"]
    assert len(dataset.skipped) == 1


def test_zero_area_box(voc, make_object):
    voc.add("a", make_object("cat", (20, 6, 20, 30)))
    with pytest.raises(DataError, match=r"a\.xml: object 1 \(cat\): the box has no area.*correct"):
        load_dataset(voc.root, labels=["cat"])
    with pytest.raises(DataError, match=r"'train' has no usable sample, all 1.*a\.xml"):
        load_dataset(voc.root, labels=["cat"], skip_bad=True)


def test_missing_and_empty_split(voc):
    voc.add("a")
    with pytest.raises(DataError, match=r"no split 'val' \(available: train\).*val\.txt"):
        load_dataset(voc.root, splits=["train", "val"])
    (voc.lists / "val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"split 'val' is empty; put picture ids"):
        load_dataset(voc.root)


def test_missing_folder_and_unknown_format(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder; give.*--data"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"data\.format 'vok' is unknown.*auto, voc"):
        load_dataset(tmp_path, format="vok")


def test_no_object_anywhere(voc):
    voc.add("a", objects="")
    with pytest.raises(DataError, match=r"no annotated object in any split.*label file"):
        load_dataset(voc.root)
    assert load_dataset(voc.root, labels=["cat"]).splits["train"][0].objects == ()


def test_fingerprint_sees_content_not_place(voc, make_object, tmp_path):
    voc.add("a").add("b", splits=("val",))
    first = fingerprint(load_dataset(voc.root))
    copy = tmp_path / "copy"
    shutil.copytree(voc.root, copy)
    assert fingerprint(load_dataset(copy)) == first

    picture = copy / "JPEGImages" / "a.jpg"
    content, times = picture.read_bytes(), picture.stat()
    picture.write_bytes(content[:-3] + b"\x00" + content[-2:])
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprint(load_dataset(copy)) != first
    picture.write_bytes(content)
    assert fingerprint(load_dataset(copy)) == first

    (copy / "Annotations" / "b.xml").write_text(
        (copy / "Annotations" / "b.xml").read_text().replace("<difficult>0", "<difficult>1")
    )
    assert fingerprint(load_dataset(copy)) != first


@pytest.mark.voc
def test_real_voc2007_part():
    dataset = load_dataset(Path(os.environ["QUANTDET_VOC"]))
    sizes = {name: len(members) for name, members in dataset.splits.items()}
    assert sizes == {"train": 579, "val": 186, "trainval": 765, "test": 200}
    assert dataset.labels == VOC_CLASSES
    objects = [item for sample in dataset.splits["trainval"] for item in sample.objects]
    assert len(objects) == 2456
    assert sum(item.difficult for item in objects) == 521
