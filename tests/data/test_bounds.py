"""What a data set may name: pictures within it, classes in one line, and nothing without end."""

import json

import pytest
from layouts import LAYOUTS
from PIL import Image

from quantdet.data.dataset import load_dataset, read_listing
from quantdet.errors import DataError


def codes(listing):
    records = [r for members in listing.splits.values() for r in members]
    return [problem.code for record in records for problem in record.problems]


@pytest.fixture
def secret(tmp_path):
    """A picture that is none of the data set."""
    Image.new("RGB", (40, 30)).save(tmp_path / "secret.jpg")
    return tmp_path / "secret.jpg"


def coco(folder, picture):
    images = [{"id": 1, "file_name": picture, "width": 40, "height": 30}]
    annotations = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}]
    categories = [{"id": 1, "name": "cat"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances_train.json").write_text(json.dumps(content))


def coco_of(tmp_path, picture, name):
    """Write a COCO set of one picture, whose class has the name."""
    folder = tmp_path / "set"
    folder.mkdir()
    picture.rename(folder / "a.jpg")
    coco(folder, "a.jpg")
    file = folder / "instances_train.json"
    file.write_text(file.read_text().replace('"cat"', json.dumps(name)))
    return folder


def yolo_list(folder, picture):
    (folder / "data.yaml").write_text("names: [cat]\ntrain: train.txt\n")
    (folder / "train.txt").write_text(f"{picture}\n")


def yolo_folder(folder, picture):
    folders = picture.rpartition("/")[0]
    (folder / "data.yaml").write_text(f"names: [cat]\ntrain: {folders}\n")


def yolo_path(folder, picture):
    folders = picture.rpartition("/")[0]
    (folder / "data.yaml").write_text(f"names: [cat]\npath: {folders}\ntrain: .\n")


def via(folder, picture):
    region = {"shape_attributes": {"name": "rect", "x": 1, "y": 1, "width": 9, "height": 9}}
    region["region_attributes"] = {"class": "cat"}
    entry = {"filename": picture, "size": 1, "regions": [region]}
    (folder / "via.json").write_text(json.dumps({"a": entry}))
    Image.new("RGB", (40, 30)).save(folder / "own.jpg")


@pytest.mark.parametrize("write", [coco, yolo_list, yolo_folder, yolo_path, via])
@pytest.mark.parametrize("relative", [True, False])
def test_pictures_outside_are_named_and_not_used(tmp_path, secret, write, relative):
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder, f"../{secret.name}" if relative else str(secret))
    listing = read_listing(folder, "auto")
    assert "picture_outside" in codes(listing)
    assert not any(r.sample for members in listing.splits.values() for r in members)


@pytest.mark.parametrize(
    ("write", "file"), [(coco, "instances_train.json"), (yolo_path, "data.yaml")]
)
def test_who_gives_the_file_means_what_it_names(tmp_path, secret, write, file):
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder, str(secret))
    assert "picture_outside" not in codes(read_listing(folder / file, "auto"))


def test_links_are_followed_with_a_note(tmp_path):
    root = tmp_path / "set"
    LAYOUTS["yolo of Ultralytics"].write(root)
    (root / "images").rename(tmp_path / "elsewhere")
    (root / "images").symlink_to(tmp_path / "elsewhere")
    listing = read_listing(root, "auto")
    assert not codes(listing)
    notes = [note for note in listing.notes if note.code == "link_outside"]
    assert {note.file.name for note in notes} == {"train", "val", "test"}
    assert all("elsewhere" in note.reason for note in notes)


def test_relative_and_absolute_paths_of_one_list(tmp_path, monkeypatch):
    root = tmp_path / "set"
    LAYOUTS["yolo of Ultralytics"].write(root)
    picture = sorted((root / "images" / "train").iterdir())[0]
    (root / "train.txt").write_text(f"./images/train/{picture.name}\n{picture}\n")
    (root / "data.yaml").write_text("names: [cat, dog]\ntrain: train.txt\n")
    (root / "coco8.yaml").unlink(missing_ok=True)
    monkeypatch.chdir(tmp_path)
    listing = read_listing(root.relative_to(tmp_path), "auto")
    assert [r.image_path.name for r in listing.splits["train"]] == [picture.name] * 2


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\u2028b", "a\x00b"])
def test_names_of_classes_have_one_line(tmp_path, secret, name):
    folder = coco_of(tmp_path, secret, name)
    with pytest.raises(DataError, match="has a line break or a control character") as caught:
        load_dataset(folder)
    assert str(caught.value).isprintable()


def test_a_class_of_one_object_with_a_line_break(tmp_path):
    root = tmp_path / "set"
    LAYOUTS["voc side by side"].write(root)
    file = next(f for f in sorted(root.glob("*.xml")) if "<name>" in f.read_text())
    file.write_text(file.read_text().replace("<name>", "<name>wild&#10;", 1))
    assert codes(read_listing(root, "auto")) == ["class_name"]


@pytest.mark.parametrize("name", ["=1+1", "a,b", 'a"b', "a'b", "<b>", "&amp;", "-1", "@x", "ö"])
def test_other_names_stay_as_they_are(tmp_path, secret, name):
    folder = coco_of(tmp_path, secret, name)
    assert load_dataset(folder).labels == (name,)


def test_half_a_surrogate_is_no_text(tmp_path, secret):
    folder = tmp_path / "set"
    folder.mkdir()
    coco(folder, "\ud800.jpg")
    with pytest.raises(DataError, match=r"not valid JSON .*surrogates"):
        load_dataset(folder)


def test_yaml_that_unfolds_without_end(tmp_path):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    (tmp_path / "data.yaml").write_text("\n".join([*lines, "names: *a59", "train: images"]))
    with pytest.raises(DataError, match=r"data\.yaml: not valid YAML \(\*a0 repeats a list"):
        load_dataset(tmp_path)


def test_yaml_may_repeat_a_word(tmp_path):
    root = tmp_path / "set"
    LAYOUTS["yolo of Ultralytics"].write(root)
    (root / "coco8.yaml").unlink(missing_ok=True)
    (root / "data.yaml").write_text("names: [cat, dog]\ntrain: &t images/train\nval: *t\n")
    listing = read_listing(root, "auto")
    assert len(listing.splits["train"]) == len(listing.splits["val"])


def test_class_numbers_do_not_make_billions_of_names(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("0 .5 .5 .1 .1\n999999999999 .5 .5 .1 .1\n")
    listing = read_listing(tmp_path, "auto")
    assert codes(listing) == ["unknown_class"]
    assert listing.labels == ("class_0",)


@pytest.mark.parametrize("shape", ["[1, 0x" + "f" * 5000 + "]", "[-1, 3]", "[3]", "17", "[[1], 2]"])
def test_key_points_without_bounds(tmp_path, shape):
    (tmp_path / "data.yaml").write_text(f"names: [cat]\nkpt_shape: {shape}\ntrain: images\n")
    with pytest.raises(DataError, match=r"data\.yaml: kpt_shape is not \[points, numbers"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("line", ["images/\x00train/a.jpg", "loop/a.jpg", "a" * 5000 + "/a.jpg"])
def test_paths_that_no_file_can_have(tmp_path, line):
    root = tmp_path / "set"
    LAYOUTS["yolo of Ultralytics"].write(root)
    (root / "loop").symlink_to(root / "loop")
    (root / "coco8.yaml").unlink(missing_ok=True)
    (root / "data.yaml").write_text("names: [cat, dog]\ntrain: train.txt\n")
    (root / "train.txt").write_text(f"images/train/p0.jpg\n{line}\n")
    assert "missing_picture" in codes(read_listing(root, "auto"))
