"""Every reader of files that may come from anybody: what it reads when all is well, and how."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import checkpoints
import h5py
import keras
import numpy as np
from layouts import LAYOUTS
from PIL import Image

from quantdet.config import Config, load_config
from quantdet.data.archives import extract
from quantdet.data.dataset import load_dataset, read_listing
from quantdet.data.images import picture_size
from quantdet.data.labels import read_label_file
from quantdet.data.pictures import look
from quantdet.models import weight_files
from quantdet.models.backbones import BACKBONES
from quantdet.models.litert_weights import read_ssd_weights
from quantdet.models.style import KERAS_STYLE
from quantdet.models.tfjs_weights import read_ssdlite_weights
from quantdet.models.torch_checkpoint import read_state_dict
from quantdet.models.weight_files import WeightSet, layer_arrays, read_weight_file, save_weights
from quantdet.presets import preset_names, preset_text
from quantdet.report.html import write_report
from quantdet.results.contents import Contents
from quantdet.results.folder import read_results
from quantdet.runs import Run
from quantdet.runtime.contract import contract_path
from quantdet.runtime.detector import Detector
from quantdet.runtime.labels_inside import labels_inside, read_labels
from quantdet.runtime.predictions import Predictions
from quantdet.runtime.preprocess import read_image
from quantdet.runtime.recognise import recognise_model
from quantdet.system import keras_h5
from tests.report.made_up_run import complete_detector, complete_run
from tests.runtime.helpers import make_contract, tiny_model

BACKBONE = BACKBONES["mobilenet_v2"]
WIDTH = 0.35
RED = np.zeros((9, 16, 3), np.uint8)


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        write: writes what it reads into a folder.
        files: pattern of the files that are spoiled.
        read: reads the folder, or the spoiled file in it, as the command line does.
        cases: in `make test`; 0 where one takes a second.
        slow_cases: in `make test-slow`.
        native: a crash or hang is that of a library in C, and other tests show that it is
            contained in a process of its own, or that the file counts as a program (SECURITY.md).
    """

    write: Callable[[Path], None]
    files: str
    read: Callable[[Path, Path], object]
    cases: int = 200
    slow_cases: int = 5000
    native: bool = False


READERS: dict[str, Reader] = {}
_turns = itertools.count()
_LOADED = 10  # of so many data sets one is loaded, too


# Data sets ---------------------------------------------------------------------------------------


def read_data(root: Path, _: Path) -> None:
    """Read and load; everything that is taken must be sound."""
    listing = read_listing(root, "auto")
    for record in (r for members in listing.splits.values() for r in members):
        assert record.sample is not None or record.problems
        for item in record.sample.objects if record.sample else ():
            x1, y1, x2, y2 = item.box_xyxy
            assert 0 <= x1 < x2 <= record.sample.size_hw[1]
            assert 0 <= y1 < y2 <= record.sample.size_hw[0]
            assert item.label
            item.label.encode()
    if next(_turns) % _LOADED == 0:
        load_dataset(root, skip_bad=True)


def data(layout: str, files: str, cases: int = 200) -> Reader:
    return Reader(LAYOUTS[layout].write, files, read_data, cases)


READERS |= {
    "voc xml": data("voc side by side", "*.xml"),
    "voc lists": data("voc of the challenge", "VOCdevkit/VOC2012/ImageSets/Main/*.txt"),
    "yolo labels": data("yolo of Ultralytics", "labels/*/*.txt"),
    "yolo data.yaml": data("yolo poses", "data.yaml"),
    "yolo darknet": data("yolo of darknet", "obj.*", 50),
    "yolo lists": data("yolo of darknet", "*.txt", 50),
    "coco": data("coco of FiftyOne", "labels.json"),
    "coco polygons": data("coco polygons", "coco.json", 50),
    "tool edge impulse": data("tool Edge Impulse", "*/bounding_boxes.labels", 25),
    "tool via": data("tool VIA project", "project.json", 25),
    "tool via table": data("tool VIA table", "*.csv", 25),
    "tool vott": data("tool VoTT", "*/*.json", 25),
    "tool table": data("tool Roboflow table", "*/*.csv", 25),
    "tool createml": data("tool Roboflow CreateML", "*/*.json", 25),
    "tool fiftyone": data("tool FiftyOne", "labels.json", 25),
    "tool cvat": data("tool CVAT for images with subsets", "annotations.xml", 25),
    "tool label studio": data("tool Label Studio", "*.json", 25),
    "tool label studio min": data("tool Label Studio (min)", "*.json", 25),
    "tool labelme": data("tool LabelMe", "*.json", 25),
    "damaged pictures in yolo": data("yolo of Ultralytics", "images/*/*.*", 50),
    "damaged pictures in coco": data("coco of FiftyOne", "data/*.*", 50),
}
READERS["labels file"] = Reader(
    lambda root: (root / "labels.txt").write_text("cat\ndog\nan owl\n"),
    "labels.txt",
    lambda _, path: read_label_file(path),
)


# Pictures ----------------------------------------------------------------------------------------


def pictures(kind: str, suffix: str, **how: object) -> Reader:
    def write(root: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[274] = 6
        rgb = Image.fromarray(pixels)
        plain = {} if kind in ("BMP", "GIF", "PPM") else {"exif": exif}
        rgb.save(root / f"rgb{suffix}", kind, **plain, **how)
        if kind not in ("JPEG", "BMP", "PPM"):
            rgb.convert("P").save(root / f"palette{suffix}", kind, **how)
        if kind in ("PNG", "WEBP", "TIFF", "GIF"):
            rgb.convert("RGBA").save(root / f"alpha{suffix}", kind, **how)

    def read(_: Path, path: Path) -> None:
        look(path)
        picture_size(path)
        read_image(path)

    return Reader(write, f"*{suffix}", read)


READERS |= {
    "JPEG": pictures("JPEG", ".jpg"),
    "JPEG, progressive": pictures("JPEG", ".jpg", progressive=True),
    "PNG": pictures("PNG", ".png"),
    "BMP": pictures("BMP", ".bmp"),
    "WebP": pictures("WEBP", ".webp"),
    "TIFF": pictures("TIFF", ".tif"),
    "TIFF, deflated": pictures("TIFF", ".tif", compression="tiff_adobe_deflate"),
    "GIF": pictures("GIF", ".gif"),
    "PPM": pictures("PPM", ".ppm"),
}


# Archives ----------------------------------------------------------------------------------------

MEMBERS = {"set/a.txt": b"one" * 50, "set/b/c.txt": b"", "set/b/d.bin": bytes(range(256)) * 4}


def write_zip(root: Path) -> None:
    with zipfile.ZipFile(root / "a.zip", "w") as archive:
        for (member, content), kind in zip(MEMBERS.items(), (0, 8, 12), strict=True):
            archive.writestr(member, content, kind)


def write_tar(root: Path) -> None:
    for ending in ("tar", "tar.gz", "tar.bz2", "tar.xz"):
        with tarfile.open(root / f"a.{ending}", f"w:{ending[4:]}") as archive:
            for member, content in MEMBERS.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def unpack(root: Path, path: Path) -> None:
    """Unpack; nothing is left behind or written elsewhere."""
    before = {*root.iterdir()}
    try:
        extract(path, root / "unpacked")
    finally:
        shutil.rmtree(root / "unpacked", ignore_errors=True)
        assert {*root.iterdir()} == before


READERS |= {
    "zip": Reader(write_zip, "*.zip", unpack),
    "tar": Reader(write_tar, "a.*", unpack),
}


# Configuration, contract, model ------------------------------------------------------------------


def write_config(root: Path) -> None:
    (root / "all.toml").write_text(Config().to_toml())
    (root / "extra.toml").write_text('[[data.extra]]\nroot = "x"\n[data.class_map]\na = "b"\n')
    for name in preset_names():
        (root / f"{name}.toml").write_text(preset_text(name))


def read_config(_: Path, path: Path) -> None:
    load_config(path).to_toml()


def write_override(root: Path) -> None:
    for number, text in enumerate(("train.epochs=3", "data.classes=['a', 'b']", "qat.seed=1")):
        (root / f"{number}.txt").write_text(text)


def read_override(_: Path, path: Path) -> None:
    load_config(overrides=[path.read_text("utf-8", errors="replace")]).to_toml()


def write_model(root: Path) -> None:
    for kind in ("ssd-uint8", "single-uint8", "grid-float32"):
        name, dtype = kind.split("-")
        path = root / f"{kind}.tflite"
        path.write_bytes(tiny_model(name, dtype))
        found = make_contract(path, name).model_copy(update={"sha256": ""})
        found.save(contract_path(path))


def predict(_: Path, path: Path) -> None:
    model = path.with_name(path.name.removesuffix(".contract.json")).with_suffix(".tflite")
    Detector(model, num_threads=1).predict(RED)


def write_whole_model(root: Path) -> None:
    """Write models with their contracts inside, as exports have them."""
    write_model(root)
    for path in [*root.glob("*.tflite")]:
        side = contract_path(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("labels.txt", "red\nblue\n")
            archive.write(side, "quantdet.contract.json")
        side.unlink()


def write_descriptions(root: Path) -> None:
    """Write the descriptions that `quantdet describe` reads, by themselves."""
    names = {"task": "detect", "names": {0: "red", 1: "blue"}}
    (root / "metadata.json").write_text(json.dumps(names))
    (root / "temp_meta.txt").write_text(str(names))
    (root / "metadata.yaml").write_text("task: detect\nnames:\n  0: red\n  1: blue\n")


def write_foreign_model(root: Path) -> None:
    """Write a model of another tool with its labels behind."""
    path = root / "yolov8.tflite"
    path.write_bytes(tiny_model("yolov8", "float32"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("metadata.json", json.dumps({"names": ["red", "blue"]}))


def describe(_: Path, path: Path) -> None:
    found = labels_inside(path)
    recognise_model(path, found.labels if found else ("red", "blue"))


READERS |= {
    "descriptions of models": Reader(
        write_descriptions, "*.*", lambda _, path: read_labels(path), 100
    ),
    "tflite of another tool": Reader(write_foreign_model, "*.tflite", describe, 100, native=True),
    "toml": Reader(write_config, "*.toml", read_config),
    "--set": Reader(write_override, "*.txt", read_override),
    "contract": Reader(write_model, "*.contract.json", predict),
    "tflite": Reader(write_model, "*.tflite", predict, native=True),
    "tflite with a zip behind": Reader(write_whole_model, "*.tflite", predict, native=True),
}


# Weights -----------------------------------------------------------------------------------------


def backbone() -> Iterable[keras.Layer]:
    """Return the layers of the backbone, as the readers keep them."""
    return weight_files._layers(BACKBONE.build, WIDTH)


def small(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights that take least: a file of kilobytes is spoiled where it counts."""
    return dict(sorted(arrays.items(), key=lambda item: item[1].size)[:12])


def write_npz(root: Path) -> None:
    arrays = small(layer_arrays(backbone()))
    save_weights(root / "w.npz", WeightSet(arrays, KERAS_STYLE, "made up", ""))


def read_weights(_: Path, path: Path) -> None:
    read_weight_file(path, BACKBONE, WIDTH)


def write_pth(root: Path, *, legacy: bool = False) -> None:
    names = BACKBONE.torch_names()
    state = {name: np.zeros(3, np.float32) for name in [*names][:5]}
    state["classifier.weight"] = np.ones((3, 4), np.float32)
    checkpoints.write(root / "w.pth", state, legacy=legacy)


def write_h5(root: Path) -> None:
    with h5py.File(root / "keras3.weights.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros((3, 3, 3, 16), "<f4")
        file["layers/batch_normalization/vars/0"] = np.zeros(16, "<f4")
    with h5py.File(root / "keras2.h5", "w") as file:
        file.attrs["layer_names"] = ["Conv1"]
        group = file.create_group("Conv1")
        group.attrs["weight_names"] = ["Conv1/kernel:0"]
        group["Conv1/kernel:0"] = np.zeros((3, 3, 3, 16), "<f4")


def read_h5(_: Path, path: Path) -> None:
    """Do what the process for HDF5 does, with its message for what is wrong."""
    places = {"Conv1/kernel": "layers/conv2d/vars/0"}
    keras_h5.answer(json.dumps([str(path), places, {"Conv1/kernel": (3, 3, 3, 16)}]))


def write_keras(root: Path) -> None:
    layers = [keras.Input((32, 32, 3), name="in"), keras.layers.Normalization(name="normalization")]
    layers[1].build((None, 32, 32, 3))
    layers += [keras.layers.Conv2D(16, 3, use_bias=False, name="Conv1")]
    layers += [keras.layers.BatchNormalization(name="bn_Conv1")]
    keras.Sequential(layers).save(root / "w.keras")


def read_keras(_: Path, path: Path) -> None:
    """Read as quantdet does, but HDF5 in this process."""

    def inside(path, places, shapes):
        request = json.dumps([str(path), places, {k: [*v] for k, v in shapes.items()}])
        return keras_h5.answer(request)

    with mock.patch.object(weight_files, "read_keras_h5", inside):
        read_weight_file(path, BACKBONE, WIDTH)


def write_tfjs(root: Path) -> None:
    nodes, weights = [], []
    raw = b""
    for number, layer in enumerate(("Conv", "Conv_1")):
        name = f"FeatureExtractor/MobilenetV2/{layer}"
        constants = {f"{name}/weights": (1, 1, 3, 4), f"{name}/scale": (4,), f"{name}/sub": (4,)}
        for constant, shape in constants.items():
            weights.append({"name": constant, "shape": shape, "dtype": "float32"})
            nodes.append({"op": "Const", "name": constant, "input": []})
            raw += np.full(shape, number, "<f4").tobytes()
        steps = (("Conv2D", "weights"), ("Mul", "scale"), ("Add", "sub"))
        before = "image"
        for op, constant in steps:
            inputs = [before, f"{name}/{constant}"]
            nodes.append({"op": op, "name": f"{name}/{op}", "input": inputs, "attr": {}})
            before = f"{name}/{op}"
    (root / "part1").write_bytes(raw)
    manifest = [{"paths": ["part1"], "weights": weights}]
    content = {"modelTopology": {"node": nodes}, "weightsManifest": manifest}
    (root / "model.json").write_text(json.dumps(content))


READERS |= {
    "npz": Reader(write_npz, "*.npz", read_weights),
    "pth": Reader(write_pth, "*.pth", read_weights),
    "pth, all tensors": Reader(
        lambda root: write_pth(root, legacy=False), "*.pth", lambda _, path: read_state_dict(path)
    ),
    "pth before 1.6": Reader(
        lambda root: write_pth(root, legacy=True), "*.pth", lambda _, path: read_state_dict(path)
    ),
    "h5": Reader(write_h5, "*.h5", read_h5, native=True),
    "keras": Reader(write_keras, "*.keras", read_keras, 100, native=True),
    "tfjs": Reader(write_tfjs, "model.json", lambda _, path: read_ssdlite_weights(path)),
    "tflite weights": Reader(
        write_model, "ssd*.tflite", lambda _, path: read_ssd_weights(path, ["Conv1"])
    ),
}


# Run folders -------------------------------------------------------------------------------------


def write_run(root: Path) -> None:
    run = complete_detector(root / "run")
    Contents(labels=("cat",), splits={"train": {"a": ("0", "1")}}).save(run.pictures_file)


def read_run(root: Path, _: Path) -> None:
    run = Run.open(root / "run")
    results = read_results(run)
    assert all("\n" not in note for note in results.notes)
    run.labels()
    Contents.read(run.pictures_file)
    Predictions.read(run.root / "predictions" / "predictions.json")


def report(root: Path, _: Path) -> None:
    write_report(Run.open(root / "run"))


READERS |= {
    "run files": Reader(write_run, "run/**/*.json", read_run),
    "run files in a report": Reader(write_run, "run/**/*.json", report, 0, 100),
    "run files of a localizer in a report": Reader(
        lambda root: complete_run(root / "run"), "run/**/*.json", report, 0, 100
    ),
}

warnings.simplefilter("ignore")
