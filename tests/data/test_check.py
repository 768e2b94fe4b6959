from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from quantdet.data.check import check_dataset
from quantdet.errors import DataError


def codes(result):
    return sorted((f.severity, f.code, Path(f.file).name) for f in result.findings)


def test_sound_data_set(voc, make_object):
    voc.add("a", make_object("cat") + make_object("dog", extra="<difficult>1</difficult>"))
    voc.add("b", make_object("cat", extra="<truncated>1</truncated>"), splits=("val",))
    for image_id in ("a", "b"):
        voc.add_to_list("trainval", image_id)
    calls = []
    result = check_dataset(voc.root, progress=lambda *c: calls.append(c))
    assert result.ok
    assert result.findings == ()
    assert calls[0] == ("read annotations", 0, 0)
    assert calls[-1] == ("check pictures", 2, 2)
    report = json.loads(json.dumps(result.to_dict()))
    assert report["ok"] is True
    assert report["labels"] == ["cat", "dog"]
    assert report["splits"]["train"] == {
        "used": True,
        "pictures": 1,
        "annotated": True,
        "usable": 1,
        "background": 0,
        "objects": 2,
        "difficult": 1,
        "truncated": 0,
        "classes": {"cat": 1, "dog": 1},
    }
    assert report["splits"]["trainval"]["objects"] == 3
    assert not report["splits"]["trainval"]["used"]


def test_every_fault_is_found_in_one_pass(voc, make_object, make_annotation):
    for image_id in ("good", "trunc", "gone", "noxml", "badxml", "box", "cls", "size"):
        voc.add(image_id)
    pictures = voc.root / "JPEGImages"
    (pictures / "trunc.jpg").write_bytes((pictures / "trunc.jpg").read_bytes()[:900])
    (pictures / "gone.jpg").unlink()
    (voc.root / "Annotations" / "noxml.xml").unlink()
    voc.add_xml("badxml", b"<annotation>")
    boxes = [(1, 1, 90, 9), (9, 1, 5, 9), (5, 1, 5, 9)]
    voc.add_xml("box", make_annotation("".join(make_object("cat", b) for b in boxes)))
    voc.add_xml("cls", make_annotation(make_object("cow")))
    voc.add_xml("size", make_annotation(make_object("cat"), (80, 60)))
    result = check_dataset(voc.root, labels=["cat"])
    assert not result.ok
    assert codes(result) == [
        ("error", "box_outside", "box.xml"),
        ("error", "broken_picture", "trunc.jpg"),
        ("error", "broken_xml", "badxml.xml"),
        ("error", "empty_box", "box.xml"),
        ("error", "inverted_box", "box.xml"),
        ("error", "missing_annotation", "noxml.xml"),
        ("error", "missing_picture", "gone.jpg"),
        ("error", "size_mismatch", "size.xml"),
        ("error", "unknown_class", "cls.xml"),
    ]


@pytest.mark.parametrize(("orientation", "code"), [(6, "size_mismatch"), (3, "exif_rotation")])
def test_exif_rotation(voc, orientation, code):
    path = voc.add("a").root / "JPEGImages" / "a.jpg"
    exif = Image.Exif()
    exif[274] = orientation
    with Image.open(path) as image:
        image.save(path, exif=exif)
    (finding,) = check_dataset(voc.root).findings
    assert finding.code == code
    assert f"EXIF orientation {orientation}" in finding.message
    assert "store" in finding.remedy
    assert check_dataset(voc.root).ok == (code == "exif_rotation")


def test_duplicates_between_splits(voc):
    voc.add("a", splits=("train", "trainval", "test")).add("b", splits=("val", "tiny"))
    voc.add("c", splits=("test",)).add("d", splits=("train", "tiny"))
    pictures = voc.root / "JPEGImages"
    (pictures / "c.jpg").write_bytes((pictures / "b.jpg").read_bytes())
    found = {(f.severity, f.code, Path(f.file).name) for f in check_dataset(voc.root).findings}
    assert found == {
        ("warning", "duplicate_id", "a.jpg"),
        ("warning", "duplicate_picture", "c.jpg"),
    }


def test_split_without_annotations_is_understood(voc):
    voc.add("a")
    voc.add_picture("t")
    voc.add_to_list("test", "t")
    result = check_dataset(voc.root)
    assert result.ok
    assert codes(result) == [("warning", "unannotated_split", voc.root.name)]
    assert not result.splits["test"].annotated
    assert result.splits["train"].annotated


def test_empty_split_no_object_and_class_not_in_train(voc, make_object):
    voc.add("a", objects="")
    (voc.lists / "val.txt").write_text("")
    assert [c for _, c, _ in codes(check_dataset(voc.root))] == ["empty_split", "no_objects"]
    (voc.lists / "val.txt").unlink()
    voc.add("b", make_object("cat"), splits=("val",))
    nothing, finding = check_dataset(voc.root).findings
    assert (nothing.severity, nothing.code) == ("error", "no_objects")
    assert (finding.severity, finding.code) == ("warning", "class_not_in_train")
    assert "'cat' is in val" in finding.message


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder; give"):
        check_dataset(tmp_path / "nowhere")


@pytest.mark.voc
def test_real_voc2007_part_is_sound():
    result = check_dataset(Path(os.environ["QUANTDET_VOC"]))
    assert result.findings == ()
    assert result.splits["trainval"].objects == 2456
