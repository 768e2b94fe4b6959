"""Classes renamed, merged and chosen; several sources joined."""

import pytest

from quantdet.config import load_config
from quantdet.data.configured import load_configured
from quantdet.errors import ConfigError, DataError


@pytest.fixture
def animals(voc, make_object):
    voc.add("a", make_object("cat") + make_object("dog", box=(1, 1, 20, 20)))
    voc.add("b", make_object("cow"))
    voc.add("c", make_object("cat"), splits=("test",))
    return voc


def load(voc, splits=None, **data):
    config = load_config(values={"data": {"root": voc.root, **data}})
    return load_configured(config.data, splits=splits)


def classes(dataset, split="train"):
    return [[item.label for item in sample.objects] for sample in dataset.splits[split]]


def test_subset_keeps_the_other_pictures_as_background(animals):
    dataset = load(animals, classes=["dog", "cat"])
    assert dataset.labels == ("dog", "cat")
    assert classes(dataset) == [["cat", "dog"], []]


def test_classes_are_renamed_merged_and_left_out(animals):
    dataset = load(animals, class_map={"cat": "pet", "dog": "pet", "cow": ""})
    assert dataset.labels == ("pet",)
    assert classes(dataset) == [["pet", "pet"], []]


def test_unknown_classes_are_named(animals):
    with pytest.raises(ConfigError, match=r"classes: 'fish' is not a class.*it has cat, dog, cow"):
        load(animals, classes=["fish"])
    with pytest.raises(ConfigError, match=r"class_map: 'fish' is not a class"):
        load(animals, class_map={"fish": "cat"})
    with pytest.raises(ConfigError, match=r"set one of them"):
        load(animals, classes=["cat"], labels="labels.txt")


def test_sources_are_joined_for_training_only(animals, tmp_path):
    from quantdet.data.convert import convert_dataset
    from quantdet.data.dataset import load_dataset

    other = tmp_path / "other"
    convert_dataset(load_dataset(animals.root), other, "coco")
    extra = [{"root": other, "split": "test", "class_map": {"cat": "cow"}}]
    dataset = load(animals, extra=extra)
    assert classes(dataset) == [["cat", "dog"], ["cow"], ["cow"]]
    assert classes(dataset, "test") == [["cat"]]
    assert list(load(animals, extra=extra, splits=("test",)).splits) == ["test"]
    with pytest.raises(DataError, match="class 'wolf' is not in the labels"):
        load(animals, extra=[{"root": other, "class_map": {"dog": "wolf"}}])
