"""Read tensors out of a PyTorch checkpoint without PyTorch.

A checkpoint is a pickle, and a pickle can run any code. This reader knows the four names and the
opcodes that a dictionary of plain tensors needs, and refuses everything else. Both layouts are
read: the zip of PyTorch 1.6 and later (``data.pkl`` + ``data/KEY``), and the older stream of five
pickles followed by the raw storages (torch/serialization.py, ``_legacy_save``).

Nothing is allocated on the word of the file: a tensor is no larger than its storage, and all
storages together are no larger than the file.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_STORAGE_TYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
_OPCODES = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.MEMOIZE),
    *(pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BINPERSID),
    *(pickle.BINGET, pickle.LONG_BINGET, pickle.BINPUT, pickle.LONG_BINPUT),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BINFLOAT, pickle.LONG1),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.BINSTRING, pickle.SHORT_BINSTRING),
    *(pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.EMPTY_LIST, pickle.APPEND),
    *(pickle.APPENDS, pickle.EMPTY_DICT, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1),
    *(pickle.TUPLE2, pickle.TUPLE3),
)
_Storages = Callable[["_Storage"], NDArray[np.number]]


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _TensorView:
    """A tensor as the pickle describes it; nothing of it is checked before it is read."""

    storage: object
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: _Storages) -> NDArray[np.number]:
        numbers = (self.offset, *self.shape, *self.strides)
        if not isinstance(self.storage, _Storage) or len(self.shape) != len(self.strides):
            raise ValueError("malformed tensor")
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError("tensor with a negative size or stride")
        data = storages(self.storage)
        if 0 in self.shape:
            return np.zeros(self.shape, data.dtype)
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((size - 1) * step for size, step in steps)
        # A stride of 0 would make gigabytes of one number.
        if last >= len(data) or math.prod(self.shape) > len(data):
            raise ValueError(f"tensor of shape {self.shape} reaches past its storage")
        view = np.lib.stride_tricks.as_strided(
            data[self.offset :],
            shape=self.shape,
            strides=tuple(step * data.itemsize for step in self.strides),
        )
        return view.copy()


def read_state_dict(
    path: Path, names: Collection[str] | None = None
) -> dict[str, NDArray[np.number]]:
    """Return the tensors of a checkpoint by name, in file order.

    The file holds either the tensors themselves or, as training scripts often write, a
    dictionary with them under "state_dict" or "model".

    Args:
        path: the checkpoint.
        names: those to read, as far as they are there; None reads all.

    Raises:
        ModelError: not a checkpoint, damaged, or it holds more than plain tensors.
    """
    try:
        with path.open("rb") as stream:
            # What is in memory is never read past its end, whatever a length says.
            content, storages = (
                _read_zip(stream)
                if zipfile.is_zipfile(path)
                else _read_legacy(io.BytesIO(stream.read()))
            )
            tensors = _tensors_of(content)
            wanted = tensors.keys() if names is None else names
            return {name: view.read(storages) for name, view in tensors.items() if name in wanted}
    except FileNotFoundError:
        raise ModelError(f"{path}: no such checkpoint") from None
    except _Refused as error:
        raise ModelError(
            f"{path}: holds {error}, which could run code when loaded; save only the tensors, "
            "torch.save(model.state_dict(), FILE)"
        ) from None
    except Exception as error:  # pickle, zip and struct raise about every kind on damaged bytes
        raise ModelError(
            f"{path}: not a readable PyTorch checkpoint ({type(error).__name__}: {error!s:.200}); "
            "download it again, or save it with torch.save(model.state_dict(), FILE)"
        ) from None


class _Refused(Exception):  # noqa: N818 - not an error of its own, caught in this module
    """A pickle asked for something that is not a plain tensor."""


class _Opcodes(dict[int, Any]):
    """Opcode → what it does."""

    def __missing__(self, code: int) -> NoReturn:
        raise ValueError(f"pickle opcode {chr(code)!r}, which no tensor needs")


# The unpickler in C takes gigabytes for a reference number of four bytes; this one keeps a dict.
class _Unpickler(pickle._Unpickler):
    """Builds dictionaries of tensors, with keys that are text or numbers."""

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): _ordered_dict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in _STORAGE_TYPES:
            return name
        raise _Refused(repr(f"{module}.{name}"[:100])[1:-1])

    def persistent_load(self, pid: tuple[Any, ...]) -> _Storage:
        kind, dtype, key, _location, count, *_view = pid
        if kind != "storage" or not isinstance(dtype, str) or dtype not in _STORAGE_TYPES:
            raise _Refused("a persistent object that is no storage")
        if not isinstance(key, str) or type(count) is not int:
            raise ValueError("malformed storage")
        return _Storage(key, _STORAGE_TYPES[dtype], count)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], [(key, value)])

    def _set_items(self) -> None:
        items = self.pop_mark()
        _put(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def _build(self) -> None:
        """Drop the attributes of a dictionary, such as ``_metadata``; nothing else has any."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise _Refused("an object with attributes")

    dispatch = _Opcodes(
        {code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES}
        | {
            pickle.SETITEM[0]: _set_item,
            pickle.SETITEMS[0]: _set_items,
            pickle.BUILD[0]: _build,
        }
    )


def _put(target: object, items: Iterable[tuple[object, object]]) -> None:
    for key, value in items:
        # Tuples of tuples take for ever to hash.
        if not isinstance(target, dict) or not isinstance(key, str | int):
            raise ValueError("a dictionary with keys that are neither text nor numbers")
        target[key] = value


def _ordered_dict(items: Iterable[tuple[object, object]] = ()) -> OrderedDict[object, object]:
    """Return the dictionary; Python 2 pickled the items as its argument."""
    found: OrderedDict[object, object] = OrderedDict()
    _put(found, items)
    return found


def _rebuild_tensor(
    storage: object, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _TensorView:
    return _TensorView(storage, offset, shape, strides)


def _rebuild_parameter(data: _TensorView, *_: object) -> _TensorView:
    return data


def _read_zip(stream: BinaryIO) -> tuple[Any, _Storages]:
    archive = zipfile.ZipFile(stream)
    members = _Members(archive, os.fstat(stream.fileno()).st_size)
    pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise ValueError("a zip without data.pkl")
    folder = pickles[0].rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    order = f"{prefix}byteorder"
    if order in archive.namelist() and members.read(order) != b"little":
        raise ValueError("big-endian tensors")
    content = _Unpickler(io.BytesIO(members.read(pickles[0]))).load()
    return content, lambda storage: np.frombuffer(
        members.read(f"{prefix}data/{storage.key}"), storage.dtype
    )


class _Members:
    """Reads members of a zip, in sum no more than the file has."""

    def __init__(self, archive: zipfile.ZipFile, file_bytes: int) -> None:
        self._archive = archive
        self._left = file_bytes
        self._known: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        if name not in self._known:
            info = self._archive.getinfo(name)
            self._left -= info.file_size
            if info.compress_type != zipfile.ZIP_STORED or self._left < 0:
                raise ValueError("a zip that is compressed, which PyTorch's never are")
            self._known[name] = self._archive.read(info)
        return self._known[name]


def _read_legacy(stream: BinaryIO) -> tuple[Any, _Storages]:
    if _Unpickler(stream).load() != _LEGACY_MAGIC:
        _not_legacy("magic number")
    if _Unpickler(stream).load() != _LEGACY_PROTOCOL:
        _not_legacy("protocol version")
    system = _Unpickler(stream).load()
    if not system.get("little_endian", sys.byteorder == "little"):
        raise ValueError("big-endian tensors")
    reader = _LegacyUnpickler(stream)
    content = reader.load()
    data = {}
    for key in _Unpickler(stream).load():
        (count,) = struct.unpack("<q", stream.read(8))
        storage = reader.seen[key]
        needed = count * storage.dtype.itemsize
        if count != storage.count or needed < 0:
            raise ValueError(f"storage {key!s:.20} has {count} values, expected {storage.count}")
        data[key] = np.frombuffer(stream.read(needed), storage.dtype)
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
