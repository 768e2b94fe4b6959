from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from quantdet.data import links as links_module
from quantdet.data.dataset import load_dataset
from quantdet.data.prepare import prepare_voc
from quantdet.errors import DataError


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def fill(tree: Path, ids: str, split: str, *, annotated: bool = True) -> Path:
    for image_id in ids:
        write(tree / "JPEGImages" / f"{image_id}.jpg", f"picture {image_id}")
        if annotated:
            write(tree / "Annotations" / f"{image_id}.xml", f"annotation {image_id}")
    write(tree / "ImageSets" / "Main" / f"{split}.txt", "\n".join(ids))
    return tree


def kaggle(root: Path) -> Path:
    fill(root / "VOC2012_train_val" / "VOC2012_train_val", "abc", "train")
    fill(root / "VOC2012_test" / "VOC2012_test", "xy", "test", annotated=False)
    return root


def content(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()
    }


MERGED = {
    **{f"JPEGImages/{i}.jpg": f"picture {i}" for i in "abcxy"},
    **{f"Annotations/{i}.xml": f"annotation {i}" for i in "abc"},
    "ImageSets/Main/train.txt": "a\nb\nc",
    "ImageSets/Main/test.txt": "x\ny",
}


@pytest.mark.parametrize("link", [True, False])
def test_merges_and_can_be_repeated(tmp_path, link):
    source, kit = kaggle(tmp_path / "raw"), tmp_path / "VOCdevkit"
    before = content(source)
    calls = []
    result = prepare_voc(source, kit, link=link, progress=lambda *c: calls.append(c))
    assert result.root == kit / "VOC2012"
    assert content(result.root) == MERGED
    assert content(source) == before
    assert calls[-1] == (10, 10)
    assert (result.pictures, result.annotations, result.lists) == (5, 3, 2)
    assert (result.linked, result.copied) == ((10, 0) if link else (0, 10))
    linked = (result.root / "JPEGImages/a.jpg").stat().st_nlink
    assert linked == (2 if link else 1)
    json.dumps(result.to_dict())

    again = prepare_voc(source, kit)
    assert (again.already, again.linked, again.copied, again.removed) == (10, 0, 0, 0)
    assert content(result.root) == MERGED


@pytest.mark.parametrize(
    "folders", [("VOC2012_train_val", "VOC2012_test"), ("x/VOC2012", "y/VOC2012")]
)
def test_other_nestings(tmp_path, folders):
    fill(tmp_path / "raw" / folders[0], "abc", "train")
    fill(tmp_path / "raw" / folders[1], "xy", "test", annotated=False)
    assert content(prepare_voc(tmp_path / "raw", tmp_path / "kit").root) == MERGED


def test_official_tars_of_another_year(tmp_path):
    fill(tmp_path / "raw" / "VOCtrainval" / "VOCdevkit" / "VOC2007", "abc", "train")
    fill(tmp_path / "raw" / "VOCtest" / "VOCdevkit" / "VOC2007", "xy", "test", annotated=False)
    result = prepare_voc(tmp_path / "raw", tmp_path / "kit")
    assert result.root == tmp_path / "kit" / "VOC2007"
    assert content(result.root) == MERGED


def test_another_disk_falls_back_to_copies(tmp_path, monkeypatch):
    def cross_device(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(links_module.os, "link", cross_device)
    result = prepare_voc(kaggle(tmp_path / "raw"), tmp_path / "kit")
    assert (result.linked, result.copied) == (0, 10)
    assert content(result.root) == MERGED


@pytest.mark.parametrize("link", [True, False])
def test_source_is_removed_only_when_asked_and_only_what_was_merged(tmp_path, link):
    source, kit = kaggle(tmp_path / "raw"), tmp_path / "kit"
    mask = source / "VOC2012_train_val/VOC2012_train_val/SegmentationClass/a.png"
    write(mask, "mask")
    result = prepare_voc(source, kit, link=link, remove_source=True)
    assert result.removed == 10
    assert content(result.root) == MERGED
    assert [p for p in source.rglob("*") if p.is_file()] == [mask]
    assert not (source / "VOC2012_test").exists()

    again = prepare_voc(source, kit, remove_source=True)
    assert (again.pictures, again.removed) == (5, 0)


def test_damage_on_the_way_removes_nothing(tmp_path, monkeypatch):
    source = kaggle(tmp_path / "raw")
    before = content(source)
    real = shutil.copyfile

    def lossy(a, b):
        real(a, b)
        if Path(a).name == "b.jpg":
            Path(b).write_text("picture X")

    monkeypatch.setattr(links_module.shutil, "copyfile", lossy)
    with pytest.raises(DataError, match=r"1 files have the same name but different.*b\.jpg"):
        prepare_voc(source, tmp_path / "kit", link=False, remove_source=True)
    assert content(source) == before


@pytest.mark.parametrize(
    "name", ["Annotations/a.xml", "ImageSets/Main/train.txt", "JPEGImages/a.jpg"]
)
def test_conflict_between_trees_changes_nothing(tmp_path, name):
    source = kaggle(tmp_path / "raw")
    write(source / "VOC2012_test/VOC2012_test" / name, "something else")
    with pytest.raises(DataError, match=rf"1 files.*nothing was changed.*{name}.*rename or remove"):
        prepare_voc(source, tmp_path / "kit", remove_source=True)
    assert not (tmp_path / "kit").exists()
    assert (source / "VOC2012_test/VOC2012_test" / name).exists()


def test_conflict_with_the_target_and_the_same_file_twice(tmp_path):
    source, kit = kaggle(tmp_path / "raw"), tmp_path / "kit"
    write(source / "VOC2012_test/VOC2012_test/Annotations/a.xml", "annotation a")
    write(kit / "VOC2012/JPEGImages/b.jpg", "my own file")
    with pytest.raises(DataError, match=r"b\.jpg and .*b\.jpg"):
        prepare_voc(source, kit)
    assert content(kit) == {"VOC2012/JPEGImages/b.jpg": "my own file"}
    (kit / "VOC2012/JPEGImages/b.jpg").write_text("picture b")
    result = prepare_voc(source, kit)
    assert result.already == 1
    assert content(result.root) == MERGED


def test_target_inside_the_source_and_source_that_is_the_target(tmp_path):
    source = kaggle(tmp_path / "raw")
    result = prepare_voc(source, source / "VOCdevkit")
    again = prepare_voc(source, source / "VOCdevkit", remove_source=True)
    assert again.removed == 10
    assert content(result.root) == MERGED
    same = prepare_voc(source / "VOCdevkit", source / "VOCdevkit", remove_source=True)
    assert (same.removed, same.pictures) == (0, 5)
    assert content(result.root) == MERGED


def test_target_that_links_to_the_source_keeps_it(tmp_path):
    source, kit = kaggle(tmp_path / "raw"), tmp_path / "kit"
    picture = source / "VOC2012_train_val/VOC2012_train_val/JPEGImages/a.jpg"
    (kit / "VOC2012/JPEGImages").mkdir(parents=True)
    (kit / "VOC2012/JPEGImages/a.jpg").symlink_to(picture)
    assert prepare_voc(source, kit, remove_source=True).removed == 9
    assert content(kit / "VOC2012") == MERGED


def test_ids_with_spaces_are_whole_lines(tmp_path):
    folder = tmp_path / "raw" / "VOC2012"
    for name in ("JPEGImages/2008 a.jpg", "ImageSets/Main/train.txt"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("2008 a\n2008 b  1\n")
    result = prepare_voc(tmp_path / "raw", tmp_path / "kit")
    assert (result.pictures, result.listed_without_picture) == (1, 1)


def test_listed_ids_without_picture_are_counted(tmp_path):
    source = kaggle(tmp_path / "raw")
    (source / "VOC2012_test/VOC2012_test/JPEGImages/x.jpg").unlink()
    assert prepare_voc(source, tmp_path / "kit").listed_without_picture == 1


def test_wrong_sources(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder; get the data"):
        prepare_voc(tmp_path / "nowhere", tmp_path / "kit")
    write(tmp_path / "a.zip", "")
    with pytest.raises(DataError, match=r"a\.zip: is no folder; unpack.*--from ARCHIVE"):
        prepare_voc(tmp_path / "a.zip", tmp_path / "kit")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no VOC tree here.*download is complete"):
        prepare_voc(tmp_path / "empty", tmp_path / "kit")
    fill(tmp_path / "two" / "VOC2007", "a", "train")
    fill(tmp_path / "two" / "VOC2012", "b", "train")
    with pytest.raises(DataError, match=r"two: holds VOC2007 and VOC2012; prepare them one"):
        prepare_voc(tmp_path / "two", tmp_path / "kit")


@pytest.mark.voc
def test_real_voc2007_part(tmp_path):
    source = Path(os.environ["QUANTDET_VOC"])
    result = prepare_voc(source, tmp_path / "kit")
    assert (result.pictures, result.annotations, result.lists) == (965, 965, 4)
    assert result.listed_without_picture == 0
    assert len(load_dataset(result.root).splits["trainval"]) == 765
