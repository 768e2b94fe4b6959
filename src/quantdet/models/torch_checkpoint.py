"""Read tensors out of a PyTorch checkpoint without PyTorch.

A checkpoint is a pickle, and a pickle can run any code. This reader knows the four names a
dictionary of plain tensors needs and refuses everything else. Both layouts are read: the zip
of PyTorch 1.6 and later (``data.pkl`` + ``data/KEY``), and the older stream of five pickles
followed by the raw storages (torch/serialization.py, ``_legacy_save``).
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_STORAGE_TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _TensorView:
    """A tensor as the pickle describes it; its storage may not be read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, data: NDArray[np.number]) -> NDArray[np.number]:
        count = int(np.prod(self.shape, dtype=np.int64))
        last = self.offset + sum(
            (size - 1) * step for size, step in zip(self.shape, self.strides, strict=True)
        )
        if count and not (0 <= self.offset <= last < len(data)):
            raise ValueError(f"tensor of shape {self.shape} reaches past its storage")
        view = np.lib.stride_tricks.as_strided(
            data[self.offset :],
            shape=self.shape,
            strides=tuple(step * data.itemsize for step in self.strides),
        )
        return view.copy()


def read_state_dict(path: Path) -> dict[str, NDArray[np.number]]:
    """Return the tensors of a checkpoint by name, in file order.

    The file holds either the tensors themselves or, as training scripts often write, a
    dictionary with them under "state_dict" or "model".

    Raises:
        ModelError: not a checkpoint, damaged, or it holds more than plain tensors.
    """
    try:
        with path.open("rb") as stream:
            content, storages = (
                _read_zip(stream) if zipfile.is_zipfile(path) else _read_legacy(stream)
            )
        tensors = _tensors_of(content)
        return {name: view.read(storages(view.storage)) for name, view in tensors.items()}
    except FileNotFoundError:
        raise ModelError(f"{path}: no such checkpoint") from None
    except _Refused as error:
        raise ModelError(
            f"{path}: holds {error}, which could run code when loaded; save only the tensors, "
            "torch.save(model.state_dict(), FILE)"
        ) from None
    except Exception as error:  # pickle, zip and struct raise about every kind on damaged bytes
        raise ModelError(
            f"{path}: not a readable PyTorch checkpoint ({type(error).__name__}: {error}); "
            "download it again, or save it with torch.save(model.state_dict(), FILE)"
        ) from None


class _Refused(Exception):  # noqa: N818 - not an error of its own, caught in this module
    """A pickle asked for something that is not a plain tensor."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in _STORAGE_TYPES:
            return _STORAGE_TYPES[name]
        raise _Refused(f"{module}.{name}")

    def persistent_load(self, pid: tuple[Any, ...]) -> _Storage:
        kind, dtype, key, _location, count, *_view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise _Refused(f"a persistent object {kind!r}")
        return _Storage(str(key), dtype, int(count))


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _TensorView:
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise ValueError("malformed tensor")
    if any(value < 0 for value in (*shape, *strides)):
        raise ValueError("tensor with a negative size or stride")
    return _TensorView(storage, int(offset), tuple(shape), tuple(strides))


def _rebuild_parameter(data: _TensorView, *_: object) -> _TensorView:
    return data


_Read = tuple[Any, Callable[[_Storage], NDArray[np.number]]]


def _read_zip(stream: BinaryIO) -> _Read:
    archive = zipfile.ZipFile(stream)
    pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise ValueError("a zip without data.pkl")
    folder = pickles[0].rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    order = f"{prefix}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("big-endian tensors")
    content = _Unpickler(io.BytesIO(archive.read(pickles[0]))).load()
    # The archive is closed with the stream, so storages are read now.
    raw = {
        name.removeprefix(f"{prefix}data/"): archive.read(name)
        for name in archive.namelist()
        if name.startswith(f"{prefix}data/")
    }
    return content, lambda storage: np.frombuffer(raw[storage.key], storage.dtype)


def _read_legacy(stream: BinaryIO) -> _Read:
    if _Unpickler(stream).load() != _LEGACY_MAGIC:
        _not_legacy("magic number")
    if _Unpickler(stream).load() != _LEGACY_PROTOCOL:
        _not_legacy("protocol version")
    system = _Unpickler(stream).load()
    if not system.get("little_endian", sys.byteorder == "little"):
        raise ValueError("big-endian tensors")
    reader = _LegacyUnpickler(stream)
    content = reader.load()
    keys = _Unpickler(stream).load()
    data: dict[str, NDArray[np.number]] = {}
    for key in keys:
        (count,) = struct.unpack("<q", stream.read(8))
        storage = reader.seen[str(key)]
        if count != storage.count:
            raise ValueError(f"storage {key} has {count} values, expected {storage.count}")
        data[str(key)] = np.frombuffer(stream.read(count * storage.dtype.itemsize), storage.dtype)
    return content, lambda storage: data[storage.key]


class _LegacyUnpickler(_Unpickler):
    """Remembers the storages, whose bytes come after the pickle."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.seen: dict[str, _Storage] = {}

    def persistent_load(self, pid: tuple[Any, ...]) -> _Storage:
        storage = super().persistent_load(pid)
        return self.seen.setdefault(storage.key, storage)


def _not_legacy(what: str) -> NoReturn:
    raise ValueError(f"wrong {what}")


def _tensors_of(content: Any) -> dict[str, _TensorView]:
    if not isinstance(content, Mapping):
        raise ValueError("not a dictionary of tensors")
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    tensors = {
        str(name).removeprefix("module."): value
        for name, value in content.items()
        if isinstance(value, _TensorView)
    }
    if not tensors:
        raise ValueError("no tensors inside")
    return tensors
