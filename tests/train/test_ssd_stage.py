"""The whole way of a many-object detector on a tiny data set."""

import json
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
from tests.eager import eager_steps
from voc_fixture import LABELS, write_dataset

from quantdet.boxes import iou_matrix
from quantdet.config import load_config
from quantdet.data.sample import Dataset, Sample
from quantdet.detections import Detections
from quantdet.errors import ConfigError
from quantdet.export.contract import write_contract
from quantdet.export.integer import export_integer
from quantdet.manifest import QatRecord, TrainRecord
from quantdet.models.targets import PictureObjects
from quantdet.quant.fold import fold_batch_norm
from quantdet.quant.prepare import prepare_qat
from quantdet.runtime.decoders import decode
from quantdet.runtime.detector import Detector
from quantdet.runtime.engine import Engine
from quantdet.stages.validate import find_validator
from quantdet.train.balance import repeated_rows
from quantdet.train.distill import (
    FollowTeacher,
    follow,
    logit_agreement,
    offset_agreement,
    with_teacher,
)
from quantdet.train.float_stage import build_task, train_float
from quantdet.train.history import MAP
from quantdet.train.qat_stage import train_qat
from quantdet.train.task import Watch


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_backbone):
    """Float run, quantized run and exported file of an ``ssd`` on coloured rectangles."""
    root = tmp_path_factory.mktemp("ssd")
    (root / "data").mkdir()
    dataset = write_dataset(root / "data", {"train": 16, "val": 6})
    config = load_config(
        preset="ssd",
        values={
            "data": {"cache_dir": str(root / "cache")},
            "model": {"backbone": tiny_backbone, "input_size": 160, "weights": "none"},
            "train": {"finetune_epochs": 2, "batch_size": 8, "finetune_from": ""},
            "qat": {"epochs": 1, "distill": 0.9, "learning_rate": 1e-5, "calibration_images": 8},
        },
    )
    watch = Watch(find_validator=partial(find_validator, config, dataset.labels))
    with eager_steps():
        result = train_float(config, dataset, root / "float", watch)
        quantized = train_qat(config, dataset, root / "float" / "model.keras", root / "qat", watch)
    file = export_integer(quantized.model, root / "model.tflite")
    contract = write_contract(file, config, dataset.labels, "")
    return config, dataset, result, quantized, file, contract


def test_float_result(trained):
    _, _, result, *_ = trained
    assert list(result.phases) == ["finetune"]
    assert result.phases["finetune"].monitor == MAP
    assert MAP in result.phases["finetune"].rows[-1]
    assert not [x for x in result.model.layers if isinstance(x, keras.layers.BatchNormalization)]


def test_quantization_keeps_the_better_of_calibration_and_training(trained):
    summary = trained[3].summary
    assert summary.monitor == "val_loss"  # decision 005
    better = min(summary.loss_calibrated, summary.loss_trained)
    kept = "trained" if better < summary.loss_calibrated else "calibrated"
    assert summary.kept == kept


def test_contract_describes_the_file(trained):
    *_, file, contract = trained
    assert contract.task == "ssdlite"
    assert contract.decoder.kind == "ssd"
    assert contract.background_index is None
    count = sum(m.rows * m.cols * len(m.shapes_hw) for m in contract.decoder.anchors)
    assert contract.boxes.shape == (1, count, 4)
    assert contract.scores.shape == (1, count, len(LABELS))
    # The ranges are those that the task gives, not what calibration saw.
    np.testing.assert_allclose(contract.boxes.scale, 20 / 255, rtol=1e-3)
    np.testing.assert_allclose(contract.scores.scale, 11 / 255, rtol=1e-3)
    assert Detector(file).labels == LABELS


def test_file_answers_as_the_fake_quantized_model(trained):
    config, dataset, _, quantized, file, contract = trained
    task = build_task(config, dataset)
    pixels = task.validation.images[:1]
    outputs = quantized.model((pixels.astype(np.float32) - 128) / np.float32(127.5))
    real = {name: np.asarray(value)[0] for name, value in outputs.items()}
    size = (60, 80)
    # Two epochs teach it little: a candidate is anything above 0.005 here.
    asks = contract.model_copy(
        update={"decoder": contract.decoder.model_copy(update={"min_score": 0.005})}
    )
    expected = decode(real, asks, size)
    engine = Engine(file, kernels="reference", signature=contract.signature)
    got = decode(engine.run(pixels), asks, size)
    assert len(expected) > 0
    assert same_share(got, expected) >= 0.9
    assert same_share(expected, got) >= 0.9


def same_share(a: Detections, b: Detections) -> float:
    near = iou_matrix(a.boxes_xyxy, b.boxes_xyxy) > 0.8
    return float((near & (a.class_ids[:, None] == b.class_ids[None])).any(axis=1).mean())


def test_pictures_without_objects_are_learned_as_background(trained, tmp_path):
    config, dataset, *_ = trained
    sample = dataset.splits["train"][0]
    empty = Sample("empty", sample.image_path, sample.size_hw, ())
    task = build_task(config, Dataset(dataset.root, LABELS, {"train": (empty,) * 3}))
    assert len(task.train) == 3
    _, targets = task.train.batch(np.arange(3), np.random.default_rng(0))
    assert targets["scores"][..., :-1].sum() == 0
    assert targets["scores"][..., -1].min() == 1


def test_crops_are_cut_from_larger_pictures(trained):
    config, dataset, *_ = trained
    large = config.model_copy(
        update={"train": config.train.model_copy(update={"crop_scale": 1.5, "augment": "ssd"})}
    )
    task = build_task(large, dataset)
    assert task.train.large.shape[1:] == (240, 240, 3)
    assert task.train.pictures(np.arange(2)).shape == (2, 160, 160, 3)
    pictures, targets = task.train.batch(np.arange(4), np.random.default_rng(1))
    assert pictures.shape == (4, 160, 160, 3)
    small = build_task(config, dataset).train
    # Same stream of chance: the same boxes, whatever the size they are cut from.
    _, expected = replace(small, augment=task.train.augment).batch(
        np.arange(4), np.random.default_rng(1)
    )
    np.testing.assert_allclose(targets["boxes"], expected["boxes"], atol=1e-3)


def test_the_manifest_has_a_field_for_all_that_stages_find(trained):
    for kind, stage in ((TrainRecord, trained[2]), (QatRecord, trained[3])):
        record = kind.model_validate(stage.summary.content(), extra="forbid")
        assert record.content() == json.loads(json.dumps(stage.summary.content()))


def test_summary_names_where_weights_came_from(trained, tmp_path):
    assert trained[2].summary.identity.weights == {"source": "none"}


def item(class_ids, ignored=None):
    count = len(class_ids)
    ignored = np.zeros(count, bool) if ignored is None else np.array(ignored)
    return PictureObjects(np.zeros((count, 4), np.float32), np.array(class_ids, np.int64), ignored)


def test_rare_classes_are_shown_more_often():
    # Class 0 in 64 pictures, class 1 in 16, class 2 in 4: factors 1, 1, 2.
    objects = [item([0]) for _ in range(64)] + [item([1]) for _ in range(16)]
    objects += [item([2, 0]) for _ in range(4)]
    counts = np.bincount(repeated_rows(objects, 3, seed=0), minlength=84)
    assert (counts[:80] == 1).all()
    assert (counts[80:] == 2).all()


def test_a_picture_that_is_shown_twice_is_counted_once(trained, tmp_path):
    config, dataset, *_ = trained
    red, green = (
        [sample for sample in dataset.splits["train"] if sample.objects[0].label == label]
        for label in LABELS
    )
    splits = {"train": (*red, green[0]), "val": dataset.splits["val"]}
    update = {"balance": True, "finetune_epochs": 0}
    balanced = config.model_copy(update={"train": config.train.model_copy(update=update)})
    unequal = Dataset(dataset.root, LABELS, splits)
    assert len(build_task(balanced, unequal).train) > len(splits["train"])
    summary = train_float(balanced, unequal, tmp_path / "float").summary
    assert summary.identity.pictures == (len(red) + 1, len(splits["val"]))


def test_balance_without_objects_shows_every_picture_once():
    objects = [item([]), item([0], [True])]
    np.testing.assert_array_equal(repeated_rows(objects, 2, seed=0), [0, 1])


def test_agreement_is_zero_between_equals_and_grows():
    rng = np.random.default_rng(0)
    targets = np.zeros((2, 5, 4), np.float32)
    targets[:, 0, 1] = 1
    logits = rng.normal(size=(2, 5, 3)).astype(np.float32)
    assert float(logit_agreement(targets, logits, logits)) == pytest.approx(0, abs=1e-5)
    near, far = (float(logit_agreement(targets, logits + d, logits)) for d in (0.1, 1.0))
    assert 0 < near < far
    # By hand for one anchor: teacher p = 1/2, student logit 2: ln(cosh(1)), four of them over 2.
    one = np.zeros((1, 1, 2), np.float32)
    one[0, 0, 0] = 1
    value = float(logit_agreement(one, np.float32([[[2.0]]]), np.float32([[[0.0]]])))
    assert value == pytest.approx(np.log(np.cosh(1.0)), abs=1e-5)
    boxes = np.zeros((1, 2, 5), np.float32)
    boxes[0, 0, 4] = 1
    moved = np.zeros((1, 2, 4), np.float32)
    moved[0, 0], moved[0, 1] = 0.5, 9.0  # the second anchor is not positive
    assert float(offset_agreement(boxes, moved, 0 * moved)) == pytest.approx(1.0)


def fit_steps(model, x, y, steps):
    """Train for batches of 32 in one epoch: Keras takes longer to begin one than for its steps."""
    times = 32 * steps // len(x)
    inputs, targets = (np.tile(values, (times, *[1] * (values.ndim - 1))) for values in (x, y))
    model.fit(inputs, {"y": targets}, batch_size=32, verbose=0)


def test_teacher_stays_and_student_learns():
    def net(seed):
        keras.utils.set_random_seed(seed)
        x = keras.Input((3,))
        return keras.Model(x, {"y": keras.layers.Dense(2, name="same_name")(x)})

    student, teacher = net(0), net(1)
    assert teacher.trainable
    before = [np.array(v) for v in teacher.variables]
    both = with_teacher(student, teacher)
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    losses = follow({"y": keras.losses.MeanSquaredError(reduction=None)}, {}, 1.0)
    assert isinstance(losses["y"], FollowTeacher)
    both.compile(keras.optimizers.Adam(0.05), loss=losses, jit_compile=False)
    fit_steps(both, x, np.zeros((64, 2), np.float32), 400)
    for old, new in zip(before, teacher.variables, strict=True):
        np.testing.assert_array_equal(old, np.array(new))
    np.testing.assert_allclose(student(x)["y"], teacher(x)["y"], atol=0.05)
    assert teacher.trainable


def _two_layers(seed):
    keras.utils.set_random_seed(seed)
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3, name="first", use_bias=False)(x)
    y = keras.layers.ReLU(name="first_relu")(keras.layers.BatchNormalization(name="bn")(y))
    return keras.Model(x, {"y": keras.layers.Conv2D(2, 3, name="last")(y)})


def test_student_follows_features():
    floats = _two_layers(0)
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 3)).astype(np.float32)
    wanted = fold_batch_norm(floats)
    inner = keras.Model(wanted.input, wanted.get_layer("first_relu").output)
    distances = []
    for features in ((), ("first_relu",)):
        student = prepare_qat(floats, [x])
        layer = student.get_layer("first")
        layer.kernel.assign(layer.kernel + 0.3)
        both = with_teacher(student, floats, features, 1.0)
        # The outputs have no loss: only features can teach.
        losses = {"y": lambda truth, answer: 0.0 * keras.ops.sum(answer)}
        both.compile(keras.optimizers.Adam(0.02), loss=losses, jit_compile=False)
        fit_steps(both, x, np.zeros((32, 4, 4, 2), np.float32), 60)
        own = keras.Model(student.input, student.get_layer("first_relu_quant").output)
        distances.append(float(np.abs(own(x) - inner(x)).mean()))
    assert distances[1] < 0.3 * distances[0], distances


def test_unknown_feature_is_refused():
    floats = _two_layers(0)
    student = prepare_qat(floats, [np.zeros((2, 8, 8, 3), np.float32)])
    with pytest.raises(ConfigError, match=r"no layer 'bn'; choose one of .*first_relu"):
        with_teacher(student, floats, ("bn",))
