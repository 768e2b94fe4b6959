"""Every format written and read again, with every kind of picture."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from quantdet.data.cache import build_cache
from quantdet.data.check import check_dataset
from quantdet.data.convert import convert_dataset
from quantdet.data.dataset import load_dataset
from quantdet.data.formats import FORMATS
from quantdet.data.sample import Dataset, ObjectAnnotation, Sample
from quantdet.data.show import contact_sheet
from quantdet.errors import ConfigError, QuantdetError

LABELS = ("cat", "Hängebrücke", "鹿")
KINDS = ("rgb", "grey", "palette", "alpha", "cmyk", "sixteen", "turned")


def odd_picture(path, kind):
    """Write a picture of 60x80 as seen upright."""
    pixels = np.random.default_rng(KINDS.index(kind)).integers(0, 255, (60, 80, 3), np.uint8)
    image, options = Image.fromarray(pixels), {}
    if kind == "sixteen":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif kind == "turned":
        image = image.transpose(Image.Transpose.ROTATE_90)
        options["exif"] = Image.Exif()
        options["exif"][274] = 6
    else:
        modes = {"rgb": "RGB", "grey": "L", "palette": "P", "alpha": "RGBA", "cmyk": "CMYK"}
        image = image.convert(modes[kind])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    samples = []
    for number, kind in enumerate(KINDS):
        suffix = ".jpg" if kind in ("rgb", "cmyk", "turned") else ".png"
        path = odd_picture(folder / f"{kind} é{suffix}", kind)
        box = (number + 0.5, 10.0, number + 31.25, 50.0)
        items = (
            ObjectAnnotation(LABELS[number % 3], box),
            ObjectAnnotation("cat", (0.0, 0.0, 80.0, 60.0), truncated=True, pose="Left"),
            ObjectAnnotation("cat", (5.0, 5.0, 9.0, 9.0), difficult=True),
        )
        samples.append(Sample(f"{kind} é", path, (60, 80), items if number else ()))
    splits = {"train": tuple(samples[:5]), "val": tuple(samples[5:]), "trainval": tuple(samples)}
    return Dataset(folder, LABELS, splits)


def test_formats_keep_what_they_can(dataset, tmp_path):
    kept = {
        "voc": lambda items: items,
        "coco": lambda items: items,
        "yolo": lambda items: tuple(
            dataclasses.replace(o, truncated=False, pose="") for o in items if not o.difficult
        ),
    }
    for name in FORMATS:
        done = convert_dataset(dataset, tmp_path / name, name)
        assert done.pictures == len(KINDS)
        assert done.objects_left_out == (6 if name == "yolo" else 0)
        again = load_dataset(tmp_path / name, labels=LABELS)
        assert set(again.splits) == set(dataset.splits)
        for split, samples in dataset.splits.items():
            # Formats may list pictures by name; ids have a "_" for the space in lists of ids.
            found = {sample.image_id: sample for sample in again.splits[split]}
            assert len(found) == len(samples)
            for sample in samples:
                copy = found[sample.image_id.replace(" ", "_")]
                assert copy.size_hw == sample.size_hw
                expected = kept[name](sample.objects)
                assert [(o.label, o.difficult, o.truncated, o.pose) for o in copy.objects] == [
                    (o.label, o.difficult, o.truncated, o.pose) for o in expected
                ]
                for a, b in zip(copy.objects, expected, strict=True):
                    np.testing.assert_allclose(a.box_xyxy, b.box_xyxy, atol=1e-5)


@pytest.mark.parametrize("name", list(FORMATS))
def test_odd_pictures_pass_check_cache_and_show(dataset, tmp_path, name):
    root = tmp_path / name
    convert_dataset(dataset, root, name)
    result = check_dataset(root)
    assert result.ok, result.errors
    assert {f.code for f in result.findings} == {"exif_rotation"}
    samples = load_dataset(root).splits["trainval"]
    cache = build_cache(samples, (32, 32), tmp_path / "cache")
    assert cache.images.shape == (len(KINDS), 32, 32, 3)
    shown = contact_sheet(samples, LABELS, tmp_path / "sheet.png")
    assert len(shown) == len(KINDS)


def test_voc_files_do_not_name_the_folder_they_were_made_in(dataset, tmp_path):
    convert_dataset(dataset, tmp_path / "voc", "voc")
    files = list((tmp_path / "voc" / "Annotations").glob("*.xml"))
    assert files
    assert all("<folder />" in file.read_text("utf-8") for file in files)


def test_chain_of_formats_comes_back(dataset, tmp_path):
    """VOC → COCO → VOC loses nothing, and class ids stay in order."""
    current = dataset
    for step, name in enumerate(("voc", "coco", "voc")):
        convert_dataset(current, tmp_path / str(step), name)
        current = load_dataset(tmp_path / str(step), labels=LABELS)
    first = load_dataset(tmp_path / "0", labels=LABELS)
    assert [s.objects for s in current.splits["trainval"]] == [
        s.objects for s in first.splits["trainval"]
    ]


def test_pictures_of_one_name_in_two_folders_stay_apart(dataset, tmp_path):
    a, b = (odd_picture(tmp_path / side / "same.png", "grey") for side in "ab")
    splits = {"train": (Sample("same", a, (60, 80)),), "val": (Sample("same", b, (60, 80)),)}
    convert_dataset(Dataset(tmp_path, LABELS, splits), tmp_path / "out", "voc")
    again = load_dataset(tmp_path / "out", labels=LABELS)
    assert [s.image_id for s in again.splits["train"]] == ["same"]
    assert [s.image_id for s in again.splits["val"]] == ["val_same"]


def test_nothing_is_overwritten_and_nothing_half_remains(dataset, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(QuantdetError, match="full: is not empty, and nothing is overwritten"):
        convert_dataset(dataset, tmp_path / "full", "coco")
    with pytest.raises(ConfigError, match="format 'kitti' is unknown; choose one of voc, coco"):
        convert_dataset(dataset, tmp_path / "new", "kitti")
    gone = Sample("gone", tmp_path / "gone.jpg", (60, 80))
    with pytest.raises(QuantdetError, match=r"gone\.jpg: not found"):
        convert_dataset(Dataset(tmp_path, LABELS, {"train": (gone,)}), tmp_path / "new", "coco")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]
