"""Writes PyTorch checkpoints as PyTorch does, without PyTorch."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np

_torch = types.ModuleType("torch")
_torch_utils = types.ModuleType("torch._utils")


class FloatStorage:
    pass


class LongStorage:
    pass


def _rebuild_tensor_v2(*_):
    raise AssertionError("only its name is pickled")


for _item, _module in (
    (FloatStorage, _torch),
    (LongStorage, _torch),
    (_rebuild_tensor_v2, _torch_utils),
):
    _item.__module__ = _module.__name__
    _item.__qualname__ = _item.__name__
    setattr(_module, _item.__name__, _item)


class _Tensor:
    def __init__(self, key, array):
        self.key, self.array = key, array

    def __reduce__(self):
        strides = tuple(step // self.array.itemsize for step in self.array.strides)
        arguments = (_Stored(self), 0, self.array.shape, strides, False, OrderedDict())
        return _rebuild_tensor_v2, arguments


class _Stored:
    def __init__(self, tensor):
        self.tensor = tensor


class _Pickler(pickle.Pickler):
    def __init__(self, stream, legacy):
        super().__init__(stream, protocol=2)
        self.legacy = legacy

    def persistent_id(self, item):
        if not isinstance(item, _Stored):
            return None
        tensor = item.tensor
        kind = FloatStorage if tensor.array.dtype == np.float32 else LongStorage
        identity = ("storage", kind, tensor.key, "cpu", tensor.array.size)
        return (*identity, None) if self.legacy else identity


def _dump(value, legacy=False):
    stream = io.BytesIO()
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": _torch, "torch._utils": _torch_utils})
    try:
        _Pickler(stream, legacy).dump(value)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return stream.getvalue()


def write(path, state, legacy=False, extra=None):
    """Write a state dict; ``extra`` is pickled beside the tensors, whatever it is."""
    arrays = {name: np.ascontiguousarray(value) for name, value in state.items()}
    tensors = OrderedDict((n, _Tensor(str(i), a)) for i, (n, a) in enumerate(arrays.items()))
    content = OrderedDict(tensors) if extra is None else {"state_dict": tensors, "extra": extra}
    if legacy:
        head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
        parts = [pickle.dumps(item, 2) for item in head]
        parts += [_dump(content, legacy=True), pickle.dumps([str(i) for i in range(len(arrays))])]
        parts += [struct.pack("<q", a.size) + a.tobytes() for a in arrays.values()]
        path.write_bytes(b"".join(parts))
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", _dump(content))
        for i, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{i}", array.tobytes())
