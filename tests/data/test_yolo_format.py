"""YOLO labels: layouts, and what is wrong with hand-made files."""

import numpy as np
import pytest
from PIL import Image

from quantdet.data.check import check_dataset
from quantdet.data.dataset import load_dataset
from quantdet.data.formats.yolo import is_yolo, read_yolo
from quantdet.errors import DataError


def picture(path, size_hw=(60, 80)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*size_hw, 3), np.uint8)).save(path)
    return path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def root(tmp_path):
    """One picture each in train and val."""
    write(tmp_path / "data.yaml", "train: images/train\nval: images/val\nnames: [cat, dog]\n")
    for split in ("train", "val"):
        picture(tmp_path / "images" / split / f"{split}.png")
        write(tmp_path / "labels" / split / f"{split}.txt", "1 0.5 0.5 0.25 0.5\n")
    return tmp_path


def test_boxes_are_in_pixels(root):
    dataset = load_dataset(root)
    (sample,) = dataset.splits["train"]
    assert dataset.labels == ("cat", "dog")
    assert (sample.image_id, sample.size_hw) == ("train", (60, 80))
    (item,) = sample.objects
    assert (item.label, item.box_xyxy) == ("dog", (30, 15, 50, 45))


def test_polygon_gives_its_bounding_box(root):
    write(root / "labels" / "train" / "train.txt", "0 0.1 0.2 0.5 0.1 0.4 0.9\n")
    (item,) = load_dataset(root).splits["train"][0].objects
    np.testing.assert_allclose(item.box_xyxy, (8, 6, 40, 54))


def test_no_labels_and_empty_labels_are_background(root):
    picture(root / "images" / "train" / "empty.png")
    write(root / "labels" / "train" / "empty.txt", "\n")
    picture(root / "images" / "val" / "none.png")
    dataset = load_dataset(root)
    objects = {s.image_id: len(s.objects) for members in dataset.splits.values() for s in members}
    assert objects == {"empty": 0, "train": 1, "none": 0, "val": 1}
    assert all(s.annotated for members in dataset.splits.values() for s in members)


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("path: .\ntrain: images/train\nnames: {0: cat, 1: dog}", "train"),
        ("path: some-download\ntrain: ../images/train\nnames: [cat, dog]", "train"),
        ("train: [images/train, images/val]\nnames: [cat, dog]", "train"),
        ("valid: list.txt\nnames: [cat, dog]\nnc: 2", "val"),
    ],
)
def test_ways_to_name_splits(root, text, split):
    write(root / "data.yaml", text)
    write(root / "list.txt", "./images/train/train.png\n")
    assert load_dataset(root).splits[split][0].objects[0].label == "dog"


def test_class_list_without_yaml(tmp_path):
    for number in range(30):
        picture(tmp_path / f"{number}.png")
        write(tmp_path / f"{number}.txt", "0 0.5 0.5 0.5 0.5\n")
    write(tmp_path / "classes.txt", "鹿\ndog\n")
    assert is_yolo(tmp_path)
    dataset = load_dataset(tmp_path)
    assert dataset.labels == ("鹿", "dog")
    assert sum(map(len, dataset.splits.values())) == 30
    assert set(dataset.splits) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("line", "code", "reason"),
    [
        ("2 0.5 0.5 0.2 0.2", "unknown_class", "class 2 is out of range; names has 2 classes"),
        ("-1 0.5 0.5 0.2 0.2", "unknown_class", "class -1 is out of range"),
        ("cat 0.5 0.5 0.2 0.2", "broken_annotation", "class is not a number: 'cat'"),
        ("0 0.5 0.5 0.2", "broken_annotation", "has 3 numbers after the class"),
        ("0 0.5 nan 0.2 0.2", "broken_annotation", "not a number: 'nan'"),
        ("0 40 30 20 20", "box_outside", "40 is not a fraction of the picture"),
        ("0 0.9 0.5 0.5 0.2", "box_outside", "12 px outside"),
        ("0 0.5 0.5 0 0.2", "empty_box", "has no area"),
    ],
)
def test_faulty_line_is_named_and_can_be_left_out(root, line, code, reason):
    picture(root / "images" / "train" / "b.png")
    write(root / "labels" / "train" / "b.txt", f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(DataError, match=rf"b\.txt: line 2: .*{reason}.*skip-bad"):
        load_dataset(root)
    dataset = load_dataset(root, skip_bad=True)
    assert [s.image_id for s in dataset.splits["train"]] == ["train"]
    assert [f.code for f in check_dataset(root).errors] == [code]


def test_labels_without_picture_are_noted(root):
    write(root / "labels" / "train" / "lone.txt", "0 0.5 0.5 0.2 0.2\n")
    (note,) = read_yolo(root).notes
    assert (note.code, note.file.name) == ("labels_without_picture", "lone.txt")


def test_listed_picture_that_is_missing(root):
    write(root / "data.yaml", "train: list.txt\nnames: [cat, dog]\n")
    write(root / "list.txt", "images/train/gone.png\n")
    with pytest.raises(DataError, match=r"gone\.png: picture not found, but listed"):
        load_dataset(root)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("names: [cat\ntrain: x", "line 2: not valid YAML"),
        ("train: images/train", "has no class names"),
        ("names: [cat, cat]\ntrain: images/train", "names has cat twice"),
        ("names: {0: cat, 2: dog}\ntrain: images/train", "without gaps"),
        ("names: [cat]\ntrain: nowhere", "train: nowhere is neither a folder nor"),
        ("just text", "holds no keys"),
    ],
)
def test_faulty_yaml_is_named(root, text, reason):
    write(root / "data.yaml", text)
    with pytest.raises(DataError, match=rf"data\.yaml.*{reason}"):
        load_dataset(root)


def test_no_yolo_data(tmp_path):
    with pytest.raises(DataError, match=r"no YOLO data here; expected data\.yaml"):
        load_dataset(tmp_path, format="yolo")
