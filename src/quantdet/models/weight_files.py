"""Weight files in and out: one common form, whatever the file.

The common form is a mapping "layer/variable" → array, with the layer names of
:mod:`quantdet.models.backbones`, plus the style the weights were trained with.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError
from quantdet.models.backbones import Backbone
from quantdet.models.style import KERAS_STYLE, TORCHVISION_STYLE, BackboneStyle
from quantdet.models.torch_checkpoint import read_state_dict
from quantdet.runtime.contract import file_sha256
from quantdet.system.atomic import atomic_path
from quantdet.system.keras_h5 import Shape, read_keras_h5, shape_fault

Arrays = Mapping[str, NDArray[np.number]]
_META = "__quantdet__"
_MOST_META = 1 << 20
_MOST_CONFIG = 64 << 20


@dataclass(frozen=True)
class DetectorHead:
    """What the predictors of a detector's weights answer for.

    Attributes:
        labels: class names in the order of the class rows; background, if any, is "".
        shapes_hw: for each map the (height, width) of its anchors.
        input_size: side of the pictures it was trained on, in pixels.
        width: of its channels, as ``[model] width``.
        class_rows: for each class of the model to build the row to start from, None for a
            random one; set by :func:`quantdet.models.ssd_start.choose_class_rows`.
    """

    labels: tuple[str, ...]
    shapes_hw: tuple[tuple[tuple[float, float], ...], ...]
    input_size: int
    width: float
    class_rows: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class WeightSet:
    """Weights of a backbone or a whole detector, and where they come from.

    Attributes:
        arrays: "layer/variable" → values in Keras layout (kernels HWIO, depthwise HWC1). A
            detector's have BatchNorm folded: "layer/kernel" and "layer/bias" only.
        style: conventions to build the backbone with.
        source: where they come from, for the run manifest.
        sha256: of the file they were read from.
        head: of a detector; None for a backbone alone.
        taken: how many channels of how many a narrower model takes over; None where it takes all.
    """

    arrays: Arrays
    style: BackboneStyle
    source: str
    sha256: str
    head: DetectorHead | None = None
    taken: tuple[int, int] | None = None

    def provenance(self) -> dict[str, object]:
        """Return what a manifest should remember."""
        found = {"source": self.source, "sha256": self.sha256, "padding": self.style.padding}
        return {**found, **({} if self.taken is None else {"channels": list(self.taken)})}


def read_weight_file(path: Path, backbone: Backbone, width: float) -> WeightSet:
    """Read .weights.h5, .h5, .keras, .pth or .npz.

    Args:
        path: the file; its name tells the format. A bare Keras .h5 or .weights.h5 does not say
            how it was trained and is taken to be in keras.applications' style.
        backbone: whose weights are wanted.
        width: of that backbone.

    Raises:
        ModelError: missing, damaged, of unknown format, or of another architecture.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such weight file; check --weights")
    reader = next((read for end, read in READERS.items() if path.name.endswith(end)), None)
    if reader is None:
        raise ModelError(
            f"{path}: unknown kind of weight file; known endings are {', '.join(READERS)}"
        )
    try:
        arrays, style = reader(path, backbone, width)
    except ModelError:
        raise
    except Exception as error:  # h5py, zipfile and Keras raise about every kind on bad bytes
        raise ModelError(
            f"{path}: not readable as a weight file ({type(error).__name__}: {error!s:.300}); "
            "copy or download it again"
        ) from None
    return WeightSet(arrays, style, f"file {path.name}", file_sha256(path))


def save_weights(path: Path | str, weights: WeightSet) -> None:
    """Write weights as .npz, with their style inside, in one step."""
    meta = json.dumps({"style": weights.style.to_dict()})
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        values: dict[str, Any] = {_META: np.array(meta), **weights.arrays}
        np.savez_compressed(stream, **values)


def assign_weights(layers: Iterable[keras.Layer], weights: WeightSet) -> None:
    """Set every variable of ``layers`` from ``weights``.

    Raises:
        ModelError: a variable is missing or has another shape; nothing is set then.
    """
    found: list[tuple[keras.Variable, NDArray[np.number]]] = []
    for key, variable in _variables(layers):
        if key not in weights.arrays:
            raise ModelError(
                f"{weights.source}: has no {key!r}, so it belongs to another architecture; "
                'choose weights of [model] backbone, or weights = "none"'
            )
        value = weights.arrays[key]
        if tuple(value.shape) != tuple(variable.shape):
            raise ModelError(f"{weights.source}: {shape_fault(key, value.shape, variable.shape)}")
        found.append((variable, value))
    for variable, value in found:
        variable.assign(np.asarray(value, dtype=np.float32))


def layer_arrays(layers: Iterable[keras.Layer]) -> dict[str, NDArray[np.number]]:
    """Return the variables of ``layers`` in the common form."""
    return {key: keras.ops.convert_to_numpy(variable) for key, variable in _variables(layers)}


def _variables(layers: Iterable[keras.Layer]) -> Iterator[tuple[str, keras.Variable]]:
    for layer in layers:
        if isinstance(layer, keras.layers.Normalization):
            continue
        for variable in layer.weights:
            yield f"{layer.name}/{variable.name}", variable


_Loaded = tuple[dict[str, NDArray[np.number]], BackboneStyle]


def _read_torch(path: Path, backbone: Backbone, width: float) -> _Loaded:
    names = backbone.torch_names()
    tensors = read_state_dict(path, names)
    arrays = {}
    for torch_name, key in names.items():
        if torch_name not in tensors:
            raise ModelError(
                f"{path}: has no tensor {torch_name!r}, so it is not a torchvision checkpoint of "
                "this backbone; choose weights of [model] backbone"
            )
        arrays[key] = _from_torch_layout(tensors[torch_name], key)
    return arrays, TORCHVISION_STYLE


def _from_torch_layout(value: NDArray[np.number], key: str) -> NDArray[np.number]:
    if value.ndim != 4:
        return value
    if "depthwise/" in key:
        return value.transpose(2, 3, 0, 1)  # (C, 1, H, W) → (H, W, C, 1)
    return value.transpose(2, 3, 1, 0)  # (O, I, H, W) → (H, W, I, O)


def _read_npz(path: Path, backbone: Backbone, width: float) -> _Loaded:
    shapes = _shapes(_layers(backbone.build, width))
    with np.load(path, allow_pickle=False) as archive:
        if _META not in archive:
            raise ModelError(
                f"{path}: does not say how the weights were trained (no {_META!r}); write such "
                "files with quantdet.models.save_weights, or use the run's model.keras"
            )
        meta = json.loads(str(_member(archive, _META, ())))
        wanted = [name for name in archive.files if name in shapes]
        arrays = {name: _member(archive, name, shapes[name]) for name in wanted}
    return arrays, BackboneStyle.from_dict(meta["style"])


def _member(archive: np.lib.npyio.NpzFile, name: str, shape: Shape) -> NDArray[np.number]:
    """Return an array of an .npz, whose header is compared before anything is unpacked."""
    with cast(zipfile.ZipFile, archive.zip).open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        found, _, dtype = read(stream)
    if found != shape:
        raise ValueError(shape_fault(name, found, shape))
    if dtype.itemsize > _MOST_META:
        raise ValueError(f"{name!r} has {dtype.itemsize} bytes")
    value: NDArray[np.number] = archive[name]
    return value


def _read_keras(path: Path, backbone: Backbone, width: float) -> _Loaded:
    """Read a saved model as data: neither layers nor code of it are made."""
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path}: not a .keras file (no zip inside); save the model again")
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("config.json")
        if info.file_size > _MOST_CONFIG:
            raise ValueError(f"config.json has {info.file_size} bytes")
        saved = {layer.name: layer for layer in _saved_layers(json.loads(archive.read(info)))}
    first, norm = (saved.get(name) for name in backbone.first_layers)
    if first is None or norm is None:
        raise ModelError(
            f"{path}: has no layers {' and '.join(backbone.first_layers)}; it is another backbone, "
            "or its BatchNorm was folded away by fine-tuning; only `quantdet qat` can continue it"
        )
    built = _layers(backbone.build, width)
    groups = {name: layer.group for name, layer in saved.items()}
    places, shapes = _places(built, groups), _shapes(built)
    # By its class: Keras numbers the names of layers of a process, and people choose their own.
    normalizations = (la for la in saved.values() if la.class_name == "Normalization")
    normalization = next(normalizations, None)
    if normalization is not None and normalization.config.get("mean") is None:
        for number, key in enumerate(("mean", "variance")):
            places[f"normalization/{key}"] = f"{normalization.group}/vars/{number}"
            shapes[f"normalization/{key}"] = (3,)
    arrays = read_keras_h5(path, places, shapes)
    return arrays, _style_of(first, norm, normalization, arrays)


@dataclass(frozen=True)
class _SavedLayer:
    """A layer of a .keras file; ``group`` is where its weights are."""

    name: str
    class_name: str
    group: str
    config: Mapping[str, Any]


def _saved_layers(model: Mapping[str, Any], group: str = "") -> Iterator[_SavedLayer]:
    """Yield the layers of a model and of those in it; layers are numbered per class."""
    counts: Counter[str] = Counter()
    for layer in model["config"].get("layers", ()):
        kind = _snake_case(layer["class_name"])
        number = f"_{counts[kind]}" if counts[kind] else ""
        counts[kind] += 1
        place = f"{group}layers/{kind}{number}"
        name, class_name = str(layer["config"]["name"]), str(layer["class_name"])
        yield _SavedLayer(name, class_name, place, layer["config"])
        if "layers" in layer["config"]:
            yield from _saved_layers(layer, f"{place}/")


def _style_of(
    first: _SavedLayer, norm: _SavedLayer, normalization: _SavedLayer | None, arrays: Arrays
) -> BackboneStyle:
    """Read the conventions off a model that states them."""
    padding = "symmetric" if first.config["padding"] == "valid" else "same"
    values = {**KERAS_STYLE.to_dict(), "padding": padding, "epsilon": norm.config["epsilon"]}
    stated = {} if normalization is None else normalization.config
    for key in ("mean", "variance") if normalization is not None else ():
        value = stated.get(key)
        values[key] = np.ravel(arrays[f"normalization/{key}"] if value is None else value)
    return BackboneStyle.from_dict(values)


def _read_h5(path: Path, backbone: Backbone, width: float) -> _Loaded:
    """Read either layout of Keras; in that of Keras 3 a backbone stands first in any model."""
    layers = _layers(backbone.build, width)
    counts: Counter[str] = Counter()
    groups = {}
    for layer in layers:
        kind = _snake_case(type(layer).__name__)
        groups[layer.name] = f"layers/{kind}_{counts[kind]}" if counts[kind] else f"layers/{kind}"
        counts[kind] += 1
    return read_keras_h5(path, _places(layers, groups), _shapes(layers)), KERAS_STYLE


@lru_cache(maxsize=4)
def _layers(
    build: Callable[[int, float, BackboneStyle], keras.Model], width: float
) -> tuple[keras.Layer, ...]:
    """Return the layers of a backbone, which say what its weights are called and their shapes."""
    return tuple(build(32, width, KERAS_STYLE).layers)


def _shapes(layers: Iterable[keras.Layer]) -> dict[str, Shape]:
    return {key: tuple(variable.shape) for key, variable in _variables(layers)}


def _places(layers: Iterable[keras.Layer], groups: Mapping[str, str]) -> dict[str, str]:
    """Return where Keras 3 has each variable, given the groups of layers by their names."""
    return {
        f"{layer.name}/{variable.name}": f"{groups[layer.name]}/vars/{index}"
        for layer in layers
        if layer.name in groups and not isinstance(layer, keras.layers.Normalization)
        for index, variable in enumerate(layer.weights)
    }


def _snake_case(name: str) -> str:
    """BatchNormalization → batch_normalization, DepthwiseConv2D → depthwise_conv2d."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


READERS: dict[str, Callable[[Path, Backbone, float], _Loaded]] = {
    ".keras": _read_keras,
    ".h5": _read_h5,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".npz": _read_npz,
}
"""File ending → reader; ".h5" includes ".weights.h5"."""
