import json

import cv2
import keras
import numpy as np
import pytest
from tests.eager import eager_steps
from voc_fixture import LABELS, write_dataset

from quantdet.config import load_config
from quantdet.data.augment import AUGMENTATIONS
from quantdet.data.sample import Dataset
from quantdet.errors import ConfigError, DataError, ModelError, QuantdetError
from quantdet.models.targets import PictureObjects
from quantdet.quant.saved import load_keras
from quantdet.runtime.pixels import to_real
from quantdet.train import float_stage, qat_stage
from quantdet.train.features import extract_features, split_model
from quantdet.train.float_stage import build_task, freeze_before, train_float
from quantdet.train.pictures import Vary
from quantdet.train.qat_stage import train_qat
from quantdet.train.task import Watch

HEADS = ("global", "grid")


@pytest.fixture(autouse=True, scope="module")
def _eager():
    with eager_steps():
        yield


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return write_dataset(folder)


@pytest.fixture
def config(tmp_path, tiny_backbone):
    def make(**sections):
        values = {
            "data": {"cache_dir": str(tmp_path / "cache")},
            "model": {"backbone": tiny_backbone, "input_size": 64, "weights": "none"},
            "train": {"epochs": 2, "batch_size": 4},
        }
        for name, section in sections.items():
            values.setdefault(name, {}).update(section)
        return load_config(values=values)

    return make


def outputs(model, task):
    x = task.train.pictures(np.arange(4))
    return {name: np.asarray(value) for name, value in model(x).items()}


@pytest.mark.parametrize("head", HEADS)
def test_result_is_saved_loaded_and_not_made_again(tmp_path, dataset, config, head, monkeypatch):
    settings = config(model={"head": head})
    seen = []
    first = train_float(settings, dataset, tmp_path / "out", Watch(lambda *now: seen.append(now)))
    assert {name for name, *_ in seen} == {
        "decode train",
        "decode val",
        "backbone features",
        "train head",
    }
    assert list(first.phases) == ["frozen"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["identity"]["weights"] == {"source": "none"}
    assert summary["identity"]["labels"] == list(LABELS)

    def never(*_, **__):
        raise AssertionError("a finished stage was trained again")

    monkeypatch.setattr(float_stage, "fit", never)
    second = train_float(settings, dataset, tmp_path / "out")
    task = build_task(settings, dataset)
    for name, value in outputs(first.model, task).items():
        np.testing.assert_allclose(outputs(second.model, task)[name], value, atol=1e-6)
    assert second.phases == first.phases
    later = json.dumps({**summary, "version": summary["version"] + 1})
    (tmp_path / "out" / "summary.json").write_text(later)
    with pytest.raises(ModelError, match=r"summary\.json: .*later quantdet"):
        train_float(settings, dataset, tmp_path / "out")


@pytest.mark.parametrize("head", HEADS)
def test_frozen_phase_trains_the_head_only(tmp_path, dataset, config, head):
    settings = config(model={"head": head}, train={"epochs": 0})
    before = train_float(settings, dataset, tmp_path / "before").model
    after = train_float(config(model={"head": head}), dataset, tmp_path / "after").model
    changed = {
        layer.name
        for layer in after.layers
        for old, new in zip(
            before.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
        )
        if not np.array_equal(old, new)
    }
    assert {"bbox_head", "class_head"} <= changed
    assert all("head" in name for name in changed)


def test_features_are_those_of_the_whole_model(tmp_path, dataset, config):
    task = build_task(config(), dataset)
    model = train_float(config(train={"epochs": 0}), dataset, tmp_path / "out").model
    backbone, head = split_model(model, task.head_input)
    features = extract_features(backbone, task.train, tmp_path)
    whole = model(task.train.pictures(np.arange(len(task.train))))
    for name, value in head(features.inputs).items():
        # the same float32 sums in batches of another size; measured 1e-7
        np.testing.assert_allclose(value, whole[name], atol=1e-5)


def test_large_features_go_to_disk_and_leave_no_file(tmp_path, dataset, config, monkeypatch):
    from quantdet.train import features as module

    task = build_task(config(), dataset)
    model = train_float(config(train={"epochs": 0}), dataset, tmp_path / "out").model
    backbone, _ = split_model(model, task.head_input)
    wanted = extract_features(backbone, task.train, tmp_path / "a").inputs
    monkeypatch.setattr(module, "_IN_MEMORY_BYTES", 0)
    mapped = extract_features(backbone, task.train, tmp_path / "b").inputs
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, wanted)
    assert not list((tmp_path / "b").iterdir())


def test_fine_tuning_changes_the_backbone_and_folds_batch_norm(tmp_path, dataset, config):
    train = {"epochs": 1, "finetune_epochs": 1, "finetune_from": "Conv3"}
    settings = config(model={"head": "grid"}, train={**train, "augment": "mild"})
    result = train_float(settings, dataset, tmp_path / "out")
    assert list(result.phases) == ["frozen", "finetune"]
    layers = result.model.layers
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)
    start = train_float(
        config(model={"head": "grid"}, train={"epochs": 0}), dataset, tmp_path / "start"
    ).model
    from quantdet.quant.fold import fold_batch_norm

    folded = fold_batch_norm(start)
    same = {
        name: np.array_equal(folded.get_layer(name).kernel, result.model.get_layer(name).kernel)
        for name in ("Conv1", "Conv2", "Conv3", "class_head")
    }
    assert same == {
        "Conv1": True,
        "Conv2": True,
        "Conv3": False,
        "class_head": False,
    }


def test_a_share_of_the_start_stays_in_the_result(tmp_path, dataset, config):
    def kernel(name, **train):
        train = {"epochs": 0, "finetune_epochs": 1, "finetune_from": "Conv2", **train}
        result = train_float(config(train=train), dataset, tmp_path / name)
        return np.array(result.model.get_layer("Conv3").kernel)

    start = kernel("start", finetune_learning_rate=1e-30)
    trained, mixed = kernel("trained"), kernel("mixed", start_share=0.25)
    assert np.abs(trained - start).max() > 1e-4
    np.testing.assert_allclose(mixed, 0.75 * trained + 0.25 * start, atol=1e-6)


def test_stage_resumes_to_the_same_result(tmp_path, dataset, config):
    settings = config(train={"epochs": 2, "finetune_epochs": 2, "augment": "mild"})
    whole = train_float(settings, dataset, tmp_path / "whole")

    class Killed(BaseException):
        pass

    for phase, step in (("train head", 4), ("fine-tune", 5)):

        def progress(name, done, total, phase=phase, step=step):
            if (name, done) == (phase, step):
                raise Killed

        with pytest.raises(Killed):
            train_float(settings, dataset, tmp_path / "cut", Watch(progress))
    resumed = train_float(settings, dataset, tmp_path / "cut")
    for old, new in zip(whole.model.variables, resumed.model.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_other_settings_in_the_same_folder(tmp_path, dataset, config):
    train_float(config(), dataset, tmp_path / "out")
    with pytest.raises(QuantdetError, match=r"differs in learning_rate.*another output folder"):
        train_float(config(train={"learning_rate": 0.1}), dataset, tmp_path / "out")


def test_other_class_number_in_the_same_folder(tmp_path, dataset, config):
    train_float(config(), dataset, tmp_path / "out")
    more = Dataset(dataset.root, (*LABELS, "blue"), dataset.splits)
    with pytest.raises(QuantdetError, match=r"another training.*number of classes.*remove"):
        train_float(config(), more, tmp_path / "out")


def test_single_targets_are_the_chosen_object(dataset, config):
    task = build_task(config(), dataset)
    targets = task.train.targets(np.arange(len(task.train)))
    sample = dataset.splits["train"][int(task.train.rows[0])]
    first = next(item for item in sample.objects if not item.difficult)
    x1, y1, x2, y2 = first.box_xyxy
    height, width = sample.size_hw
    np.testing.assert_allclose(
        targets["boxes"][0], [y1 / height, x1 / width, y2 / height, x2 / width], rtol=1e-6
    )
    assert targets["scores"][0] == LABELS.index(first.label) + 1


def test_input_convention():
    pixels = np.array([0, 128, 255], np.uint8).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(to_real(pixels).ravel(), [-128 / 127.5, 0, 127 / 127.5], rtol=1e-6)


@pytest.mark.parametrize("policy", AUGMENTATIONS)
def test_varied_objects_follow_their_picture(policy):
    """Red rectangles are found again where the changed boxes say, and nowhere else."""
    pictures = np.full((16, 96, 96, 3), 60, np.uint8)
    pictures[:, 30:66, 24:60] = (250, 40, 40)
    box = np.array([[24, 30, 60, 66]], np.float32) / 96
    objects = [PictureObjects(box, np.array([1]), np.array([False]))] * 16
    before = pictures.copy()
    changed, moved = Vary(AUGMENTATIONS[policy])(
        pictures, objects, np.random.default_rng(0), (96, 96)
    )
    np.testing.assert_array_equal(pictures, before)
    for picture, item in zip(changed, moved, strict=True):
        assert set(item.class_ids.tolist()) <= {1}
        assert (item.boxes_xyxy_norm >= 0).all()
        assert (item.boxes_xyxy_norm <= 1).all()
        said = np.zeros((96, 96), bool)
        for x1, y1, x2, y2 in np.rint(item.boxes_xyxy_norm * 96).astype(int):
            said[y1:y2, x1:x2] = True
        red = (picture[..., 0].astype(int) - picture[..., 1]) > 60
        # interpolation blurs the edge by a pixel
        differing = cv2.erode((red ^ said).astype(np.uint8), np.ones((3, 3)))
        assert differing.sum() == 0
    assert not np.array_equal(changed[0], changed[1])
    assert policy != "ssd_mosaic" or max(len(item.class_ids) for item in moved) > 1


def test_varying_depends_on_the_stream_only():
    pictures = np.random.default_rng(1).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    objects = [PictureObjects(np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, bool))]
    policy = Vary(AUGMENTATIONS["ssd_mosaic"])
    first, second, other = (
        policy(pictures, objects * 4, np.random.default_rng(seed), (32, 32))[0]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("keep", [True, False])
def test_picture_without_learnable_object(monkeypatch, keep):
    from quantdet.data.augment import AugmentedBatch
    from quantdet.train import pictures as module

    def lose_all(images, boxes, rng, size, settings):
        gone = tuple(np.zeros_like(b) for b in boxes)
        seen = tuple(np.zeros(len(b), bool) for b in boxes)
        return AugmentedBatch(images * 0, gone, seen, (np.array([[0, 0]]),))

    monkeypatch.setattr(module, "augment_batch", lose_all)
    pictures = np.full((1, 8, 8, 3), 7, np.uint8)
    box = np.array([[0.1, 0.1, 0.5, 0.5]], np.float32)
    objects = [PictureObjects(box, np.array([0]), np.array([False]))]
    vary = Vary(AUGMENTATIONS["mild"], keep_objects=keep)
    changed, moved = vary(pictures, objects, np.random.default_rng(0), (8, 8))
    assert (changed == (7 if keep else 0)).all()
    assert len(moved[0].class_ids) == (1 if keep else 0)


def test_empty_split_names_the_setting(dataset, config):
    with pytest.raises(DataError, match=r"split 'trainval' has no annotated.*train_split"):
        build_task(config(data={"train_split": "trainval"}), dataset)


def test_target_that_leaves_nothing(tmp_path, config, dataset):
    splits = {
        name: tuple(
            type(s)(
                s.image_id,
                s.image_path,
                s.size_hw,
                tuple(type(o)(o.label, o.box_xyxy, truncated=True) for o in s.objects),
            )
            for s in samples
        )
        for name, samples in dataset.splits.items()
    }
    with pytest.raises(DataError, match=r"split 'train'.*skip_truncated"):
        build_task(config(), Dataset(dataset.root, LABELS, splits))


def test_without_validation_split(tmp_path, dataset, config):
    only_train = Dataset(dataset.root, LABELS, {"train": dataset.splits["train"]})
    result = train_float(config(), only_train, tmp_path / "out")
    assert result.phases["frozen"].monitor == "loss"


def test_unknown_model_and_layer(config):
    with pytest.raises(ConfigError, match=r"name 'yolo' is unknown; choose one of localizer"):
        config(model={"name": "yolo"})
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="only")])
    with pytest.raises(ConfigError, match=r"finetune_from = 'block_99'.*only"):
        freeze_before(model, "block_99")


def test_missing_and_broken_model_file(tmp_path):
    with pytest.raises(ModelError, match=r"model\.keras: no such model.*quantdet train"):
        load_keras(tmp_path / "model.keras")
    (tmp_path / "model.keras").write_bytes(b"broken")
    with pytest.raises(ModelError, match=r"model\.keras: not a readable"):
        load_keras(tmp_path / "model.keras")


def test_calibrated_weights_come_back_where_training_made_it_worse(
    tmp_path, dataset, config, monkeypatch
):
    train_float(config(train={"epochs": 1}), dataset, tmp_path / "float")

    def quantized(name, **qat):
        settings = config(train={"epochs": 1}, qat={"calibration_images": 8, **qat})
        found = train_qat(settings, dataset, tmp_path / "float" / "model.keras", tmp_path / name)
        return found.summary.kept, [np.array(w) for w in found.model.weights]

    monkeypatch.setattr(qat_stage, "_validation_loss", lambda *_: -1.0)  # nothing beats that
    kept, after = quantized("worse", epochs=1, learning_rate=0.01)
    _, calibrated = quantized("calibrated", epochs=0)
    assert kept == "calibrated"
    for one, other in zip(after, calibrated, strict=True):
        np.testing.assert_array_equal(one, other)


def test_loss_that_decides_is_measured_on_the_weights_that_training_returns(
    tmp_path, dataset, config, monkeypatch
):
    train_float(config(train={"epochs": 1}), dataset, tmp_path / "float")
    measured, fit = [], qat_stage.fit

    def watched(model, training, settings, *more):
        history = fit(model, training, settings, *more)
        measured.append(qat_stage._validation_loss(model, training, settings))
        # Of a right class that reads 0 in 8 bits: no more than half a step costs.
        least = training.losses["scores"](np.array([[0]]), np.array([[0.0, 1.0]], np.float32))
        assert float(least) == pytest.approx(np.log(512))
        return history

    monkeypatch.setattr(qat_stage, "fit", watched)
    # At this rate the best epoch need not be the last one.
    settings = config(qat={"calibration_images": 8, "epochs": 3, "learning_rate": 0.003})
    found = train_qat(settings, dataset, tmp_path / "float" / "model.keras", tmp_path / "qat")
    assert found.summary.loss_trained == pytest.approx(measured[0], rel=1e-5)
    assert found.summary.loss_trained != pytest.approx(found.summary.loss_calibrated)
