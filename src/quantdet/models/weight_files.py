"""Weight files in and out: one common form, whatever the file.

The common form is a mapping "layer/variable" → array, with the layer names of
:mod:`quantdet.models.backbones`, plus the style the weights were trained with.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError
from quantdet.models.backbones import Backbone
from quantdet.models.style import KERAS_STYLE, TORCHVISION_STYLE, BackboneStyle
from quantdet.models.torch_checkpoint import read_state_dict
from quantdet.quant.saved import load_keras
from quantdet.runtime.contract import file_sha256
from quantdet.system.atomic import atomic_path

Arrays = Mapping[str, NDArray[Any]]
_META = "__quantdet__"


@dataclass(frozen=True)
class DetectorHead:
    """What the predictors of a detector's weights answer for.

    Attributes:
        labels: class names in the order of the class rows; background, if any, is "".
        shapes_hw: for each map the (height, width) of its anchors.
        class_rows: for each class of the model to build the row to start from, None for a
            random one; set by :func:`quantdet.models.ssd_start.choose_class_rows`.
    """

    labels: tuple[str, ...]
    shapes_hw: tuple[tuple[tuple[float, float], ...], ...]
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
    """

    arrays: Arrays
    style: BackboneStyle
    source: str
    sha256: str
    head: DetectorHead | None = None

    def provenance(self) -> dict[str, str]:
        """Return what a manifest should remember."""
        return {"source": self.source, "sha256": self.sha256, "padding": self.style.padding}


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
            f"{path}: not readable as a weight file ({type(error).__name__}: {error}); "
            "copy or download it again"
        ) from None
    return WeightSet(arrays, style, f"file {path.name}", file_sha256(path))


def save_weights(path: Path | str, weights: WeightSet) -> None:
    """Write weights as .npz, with their style inside, in one step."""
    meta = json.dumps({"style": weights.style.to_dict()})
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        values: dict[str, Any] = {_META: np.array(meta), **weights.arrays}
        np.savez_compressed(stream, **values)


def assign_weights(layers: Iterable[Any], weights: WeightSet) -> None:
    """Set every variable of ``layers`` from ``weights``.

    Raises:
        ModelError: a variable is missing or has another shape; nothing is set then.
    """
    found: list[tuple[Any, NDArray[Any]]] = []
    for key, variable in _variables(layers):
        if key not in weights.arrays:
            raise ModelError(
                f"{weights.source}: has no {key!r}, so it belongs to another architecture; "
                'choose weights of [model] backbone, or weights = "none"'
            )
        value = weights.arrays[key]
        if tuple(value.shape) != tuple(variable.shape):
            raise ModelError(
                f"{weights.source}: {key!r} has shape {tuple(value.shape)}, the model needs "
                f"{tuple(variable.shape)}; set [model] width to that of the weights"
            )
        found.append((variable, value))
    for variable, value in found:
        variable.assign(np.asarray(value, dtype=np.float32))


def layer_arrays(layers: Iterable[Any]) -> dict[str, NDArray[Any]]:
    """Return the variables of ``layers`` in the common form."""
    return {key: keras.ops.convert_to_numpy(variable) for key, variable in _variables(layers)}


def _variables(layers: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for layer in layers:
        if isinstance(layer, keras.layers.Normalization):
            continue
        for variable in layer.weights:
            yield f"{layer.name}/{variable.name}", variable


_Loaded = tuple[dict[str, NDArray[Any]], BackboneStyle]


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


def _from_torch_layout(value: NDArray[Any], key: str) -> NDArray[Any]:
    if value.ndim != 4:
        return value
    if "depthwise/" in key:
        return value.transpose(2, 3, 0, 1)  # (C, 1, H, W) → (H, W, C, 1)
    return value.transpose(2, 3, 1, 0)  # (O, I, H, W) → (H, W, I, O)


def _read_npz(path: Path, backbone: Backbone, width: float) -> _Loaded:
    with np.load(path, allow_pickle=False) as archive:
        if _META not in archive:
            raise ModelError(
                f"{path}: does not say how the weights were trained (no {_META!r}); write such "
                "files with quantdet.models.save_weights, or use the run's model.keras"
            )
        meta = json.loads(str(archive[_META]))
        arrays = {name: archive[name] for name in archive.files if name != _META}
    return arrays, BackboneStyle.from_dict(meta["style"])


def _read_keras(path: Path, backbone: Backbone, width: float) -> _Loaded:
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path}: not a .keras file (no zip inside); save the model again")
    layers = list(_flat_layers(load_keras(path, "keras.Model.save")))
    return layer_arrays(layers), _style_of(path, {layer.name: layer for layer in layers}, backbone)


def _flat_layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _flat_layers(layer)
        else:
            yield layer


def _style_of(path: Path, layers: Mapping[str, Any], backbone: Backbone) -> BackboneStyle:
    """Read the conventions off a model that states them."""
    first, norm = (layers.get(name) for name in backbone.first_layers)
    if first is None or norm is None:
        raise ModelError(
            f"{path}: has no layers {' and '.join(backbone.first_layers)}; it is another backbone, "
            "or its BatchNorm was folded away by fine-tuning; only `quantdet qat` can continue it"
        )
    padding = "symmetric" if first.padding == "valid" else "same"
    normalization = layers.get("normalization")
    values = {**KERAS_STYLE.to_dict(), "padding": padding, "epsilon": norm.epsilon}
    if normalization is not None:
        values["mean"] = np.ravel(normalization.mean)
        values["variance"] = np.ravel(normalization.variance)
    return BackboneStyle.from_dict(values)


def _read_h5(path: Path, backbone: Backbone, width: float) -> _Loaded:
    with h5py.File(path, "r") as file:
        if "layer_names" in file.attrs:
            return _legacy_h5(file), KERAS_STYLE
        if "layers" not in file:
            raise ModelError(f"{path}: no Keras weights inside; save them with model.save_weights")
        layers = backbone.build(32, width, KERAS_STYLE).layers
        return _weights_h5(file["layers"], layers), KERAS_STYLE


def _legacy_h5(file: Any) -> dict[str, NDArray[Any]]:
    """Read the layout of Keras 2, which keras.applications still ships: a group per layer."""
    arrays = {}
    for layer in file.attrs["layer_names"]:
        group = file[layer]
        for name in group.attrs["weight_names"]:
            layer_name = layer if isinstance(layer, str) else layer.decode()
            text = name if isinstance(name, str) else name.decode()
            variable = text.rpartition("/")[2].partition(":")[0]
            arrays[f"{layer_name}/{variable.replace('depthwise_kernel', 'kernel')}"] = group[name][
                ()
            ]
    return arrays


def _weights_h5(file: Any, layers: Iterable[Any]) -> dict[str, NDArray[Any]]:
    """Read the layout of Keras 3: layers are numbered per class in model order, not named.

    A backbone stands first in any model built on it, so its numbers are those of the backbone
    alone.
    """
    counts: dict[str, int] = {}
    arrays = {}
    for layer in layers:
        kind = _snake_case(type(layer).__name__)
        number = counts.get(kind, 0)
        counts[kind] = number + 1
        group = f"{kind}_{number}/vars" if number else f"{kind}/vars"
        for index, variable in enumerate(layer.weights):
            if f"{group}/{index}" in file:
                arrays[f"{layer.name}/{variable.name}"] = file[f"{group}/{index}"][()]
    return arrays


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
