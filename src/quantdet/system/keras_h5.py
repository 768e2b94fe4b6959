"""Read Keras weights out of HDF5 in a process of its own, with limits of time and memory.

HDF5 is native code that a damaged file can make hang or crash. The process imports h5py and
nothing of Keras; it reads only what is asked for, after its shape was compared.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError
from quantdet.system.child_environment import child_environment

if TYPE_CHECKING:
    import h5py

Shape = tuple[int, ...]

SECONDS = 30
"""Most time that a file may take."""
_MEMORY = 2 << 30
_MOST_BYTES = 1 << 30
_REFUSED = 2


def read_keras_h5(
    path: Path, places: Mapping[str, str], shapes: Mapping[str, Shape]
) -> dict[str, NDArray[np.number]]:
    """Return weights by "layer/variable".

    Args:
        path: .h5, .weights.h5, or .keras, which holds one.
        places: key → dataset in the layout of Keras 3; that of Keras 2 names its layers itself.
        shapes: key → shape that the model needs; only these keys are read, as far as they are
            there.

    Raises:
        ModelError: not HDF5, damaged, of other shapes, or HDF5 hangs or crashes on it.
    """
    request = json.dumps([str(path), dict(places), {k: [*v] for k, v in shapes.items()}])
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=request.encode(),
            # Each thread of OpenBLAS takes address space, which is limited.
            env=child_environment(OPENBLAS_NUM_THREADS="1"),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{path}: HDF5 did not end within {SECONDS} s; the file is damaged, copy it again"
        ) from None
    if done.returncode == _REFUSED:
        raise ModelError(f"{path}: {done.stderr.decode(errors='replace').strip()}")
    if done.returncode:
        raise ModelError(
            f"{path}: HDF5 failed on it (status {done.returncode}); the file is damaged, copy it "
            "again"
        )
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as arrays:
        return dict(arrays)


def shape_fault(key: str, shape: Shape, wanted: Shape) -> str:
    """Return what is wrong with weights of another shape."""
    return (
        f"{key!r} has shape {tuple(shape)}, the model needs {tuple(wanted)}; set [model] width to "
        "that of the weights"
    )


def _read_datasets(request: str) -> dict[str, NDArray[np.number]]:
    """Return the arrays that a request names."""
    path, places, shapes = json.loads(request)
    import h5py

    with h5py.File(_source(Path(path)), "r") as file:
        if "layer_names" in file.attrs:
            datasets = {key: file[place] for key, place in _legacy_places(file) if key in shapes}
        elif "layers" in file:
            datasets = {key: file[place] for key, place in places.items() if place in file}
        else:
            raise ModelError("no Keras weights inside; save them with model.save_weights")
        for key, dataset in datasets.items():
            _check(key, dataset, tuple(shapes[key]), file)
        return {key: np.asarray(dataset[()], np.float32) for key, dataset in datasets.items()}


def _source(path: Path) -> Path | BinaryIO:
    if path.suffix != ".keras":
        return path
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("model.weights.h5")
        if info.file_size > _MOST_BYTES:
            raise ModelError(f"its weights unpack to {info.file_size / 1e9:.0f} GB")
        return io.BytesIO(archive.read(info))


def _legacy_places(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Yield key and dataset in the layout of Keras 2, which keras.applications still ships."""
    for layer in map(_text, file.attrs["layer_names"]):
        for name in map(_text, file[layer].attrs["weight_names"]):
            variable = name.rpartition("/")[2].partition(":")[0]
            yield f"{layer}/{variable.replace('depthwise_kernel', 'kernel')}", f"{layer}/{name}"


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode()


def _check(key: str, dataset: h5py.Dataset | h5py.Group, wanted: Shape, file: h5py.File) -> None:
    import h5py

    # A link to another file, or values in one: they would be read as weights.
    own = isinstance(dataset, h5py.Dataset) and dataset.file.filename == file.filename
    if not own or dataset.external or dataset.is_virtual:
        raise ModelError(f"{key!r} is not in this file; save the weights in one")
    if tuple(dataset.shape) != wanted:
        raise ModelError(shape_fault(key, dataset.shape, wanted))
    if dataset.dtype.kind != "f":
        raise ModelError(f"{key!r} holds no numbers with a fraction, but {dataset.dtype}")


def _limit() -> None:
    """Bound memory and time, where the system can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    except (ImportError, ValueError, OSError):  # Windows, or stricter limits than ours
        return


def answer(request: str) -> dict[str, NDArray[np.number]]:
    """Return the arrays that are asked for.

    Raises:
        ModelError: the file is not what is wanted; the message does not name it.
    """
    try:
        return _read_datasets(request)
    except ModelError:
        raise
    except Exception as error:  # h5py and zipfile raise about every kind on damaged bytes
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(
            f"not readable as a weight file ({reason:.300}); copy or download it again"
        ) from None


def main() -> None:
    """Answer the request on stdin: arrays as .npz on stdout, or a refusal on stderr."""
    _limit()
    try:
        arrays = answer(sys.stdin.read())
    except ModelError as error:
        sys.stderr.write(str(error))
        sys.exit(_REFUSED)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    sys.stdout.buffer.write(content.getvalue())


if __name__ == "__main__":
    main()
