"""COCO JSON: layouts, and what is wrong with hand-made files."""

import json

import numpy as np
import pytest
from PIL import Image

from quantdet.data.check import check_dataset
from quantdet.data.dataset import load_dataset
from quantdet.data.formats.coco import is_coco
from quantdet.errors import DataError

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}]


def picture(path, size_hw=(60, 80), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*size_hw, 3), np.uint8)).save(path, **options)
    return path


def image(number=1, name="a.jpg", **more):
    return {"id": number, "file_name": name, "width": 80, "height": 60, **more}


def annotation(category=1, bbox=(10, 5, 30, 25), number=1, **more):
    return {"id": 7, "image_id": number, "category_id": category, "bbox": list(bbox), **more}


def write(path, annotations, images=None, categories=CATEGORIES):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": images or [image()], "categories": categories, "annotations": annotations}
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return path


@pytest.fixture
def root(tmp_path):
    """One picture in the one split "train"."""
    picture(tmp_path / "images" / "a.jpg")
    write(tmp_path / "annotations" / "instances_train.json", [annotation()])
    return tmp_path


def rewrite(root, annotations, **more):
    write(root / "annotations" / "instances_train.json", annotations, **more)


def test_boxes_classes_and_crowds(root):
    rewrite(root, [annotation(3, (10, 5, 30, 25)), annotation(1, (0, 0, 80, 60), iscrowd=1)])
    dataset = load_dataset(root)
    (sample,) = dataset.splits["train"]
    assert dataset.labels == ("cat", "dog")
    assert (sample.image_id, sample.size_hw) == ("a", (60, 80))
    assert [(o.label, o.box_xyxy, o.difficult) for o in sample.objects] == [
        ("dog", (10, 5, 40, 30), False),
        ("cat", (0, 0, 80, 60), True),
    ]


@pytest.mark.parametrize(
    ("json_file", "picture_file", "split"),
    [
        ("annotations/instances_train2017.json", "train2017/a.jpg", "train"),
        ("annotations/instances_val2017.json", "images/val2017/a.jpg", "val"),
        ("annotations/test.json", "test/a.jpg", "test"),
        ("valid/_annotations.coco.json", "valid/a.jpg", "val"),
    ],
)
def test_layouts_with_splits(tmp_path, json_file, picture_file, split):
    write(tmp_path / json_file, [annotation()])
    path = picture(tmp_path / picture_file)
    assert is_coco(tmp_path)
    (sample,) = load_dataset(tmp_path).splits[split]
    assert sample.image_path == path


def test_one_file_without_splits_is_divided_by_seed(tmp_path):
    names = [f"{n:03d}.png" for n in range(40)]
    for name in names:
        picture(tmp_path / name)
    images = [image(n, name) for n, name in enumerate(names)]
    file = write(tmp_path / "labels.json", [annotation(number=3)], images)
    first = load_dataset(tmp_path)
    assert set(first.splits) == {"train", "val", "test"}
    assert sum(map(len, first.splits.values())) == 40
    assert load_dataset(file).splits == first.splits
    assert load_dataset(tmp_path, split_seed=1).splits != first.splits


def test_heading_category_of_roboflow_is_no_class(root):
    categories = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 1, "name": "raccoon", "supercategory": "animals"},
        {"id": 2, "name": "unused", "supercategory": "animals"},
    ]
    rewrite(root, [annotation(1)], categories=categories)
    assert load_dataset(root).labels == ("raccoon", "unused")


def test_picture_without_annotation_is_background(root):
    picture(root / "images" / "b.jpg")
    rewrite(root, [annotation()], images=[image(), image(2, "b.jpg")])
    assert load_dataset(root).splits["train"][1].objects == ()


def test_names_beyond_ascii_and_in_folders(root):
    picture(root / "images" / "hôtel" / "ü.jpg")
    categories = [{"id": 1, "name": "鹿"}]
    rewrite(root, [annotation()], images=[image(1, "hôtel/ü.jpg")], categories=categories)
    dataset = load_dataset(root)
    assert dataset.labels == ("鹿",)
    assert dataset.splits["train"][0].image_id == "hôtel/ü"


@pytest.mark.parametrize(
    ("bad", "code", "reason"),
    [
        (annotation(9), "unknown_class", "annotation id 7: category_id 9 is not in"),
        (annotation(bbox=(70, 5, 30, 25)), "box_outside", "20 px outside"),
        (annotation(bbox=(10, 5, 0, 25)), "empty_box", "has no area"),
        (annotation(bbox=(10, 5, 30)), "broken_annotation", "bbox is not"),
        (annotation(bbox=(10, 5, "x", 3)), "broken_annotation", "bbox is not"),
        (annotation(number=5), "unknown_picture", "image_id 5 is not in"),
    ],
)
def test_faulty_annotation_is_named_and_can_be_left_out(root, bad, code, reason):
    picture(root / "images" / "b.jpg")
    good = annotation(number=2)
    rewrite(root, [bad, good], images=[image(), image(2, "b.jpg")])
    with pytest.raises(DataError, match=f"instances_train.json: .*{reason}.*skip-bad"):
        load_dataset(root)
    assert load_dataset(root, skip_bad=True).skipped
    assert [(f.code, f.severity) for f in check_dataset(root).findings if f.code == code]


def test_missing_picture_and_picture_without_size(root):
    rewrite(root, [annotation()], images=[image(), image(2, "gone.jpg")])
    with pytest.raises(DataError, match=r"gone\.jpg: picture not found, but listed"):
        load_dataset(root)
    rewrite(root, [annotation()], images=[{"id": 1, "file_name": "a.jpg"}])
    assert load_dataset(root).splits["train"][0].size_hw == (60, 80)


def test_file_that_is_no_coco(root, tmp_path):
    file = root / "annotations" / "instances_train.json"
    text = file.read_text()
    file.write_text(text[:-20])
    with pytest.raises(DataError, match=r"instances_train\.json: not valid JSON \(.*line 1"):
        load_dataset(root)
    file.write_text('{"images": [{"id": 1}], "categories": []}')
    with pytest.raises(DataError, match=r'images\[0\] has no "file_name"'):
        load_dataset(root)
    file.write_text('{"images": {}, "categories": []}')
    with pytest.raises(DataError, match='has no list "images"'):
        load_dataset(root, format="coco")
    file.unlink()
    with pytest.raises(DataError, match="no COCO data here"):
        load_dataset(root, format="coco")


def test_size_that_ignores_the_exif_rotation_is_found(root):
    exif = Image.Exif()
    exif[274] = 6
    picture(root / "images" / "a.jpg", exif=exif)
    (finding,) = check_dataset(root).errors
    assert finding.code == "size_mismatch"
    assert "EXIF orientation 6 turns the picture" in finding.message
