"""Checkpoints that survive being killed while they are written.

    FOLDER/last.npz       everything needed to resume: variables, optimizer, history, identity
    FOLDER/best-NNNN.npz  variables after the best epoch NNNN

``last.npz`` names the best file it belongs to and is renamed into place after it, so the two
always fit together. Files no longer referred to are removed afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from quantdet.errors import ModelError, QuantdetError
from quantdet.system.atomic import atomic_path
from quantdet.system.listing import shown_files
from quantdet.train.history import History

_VERSION = 1
_META = "meta"
_MEANINGS = {
    "start": "the model it started from (architecture, number of classes or weights)",
    "data": "the pictures or their objects",
    "examples": "the number of pictures",
    "teaching": "how much it follows its teacher (distill)",
}


class Checkpoints:
    """The checkpoints of one training phase.

    Args:
        folder: where they lie.
        identity: everything that the result depends on; a checkpoint with another identity is
            of another training and is not continued.
    """

    def __init__(self, folder: Path, identity: Mapping[str, object]) -> None:
        self.folder = folder
        self.identity = json.loads(json.dumps(dict(identity)))

    def save_best(self, model: keras.Model, history: History) -> None:
        """Write the variables of ``model`` if the last epoch of ``history`` is the best."""
        if history.best_epoch == len(history.rows):
            _write(self._best_path(history), _arrays(model.variables, "v"))

    def save_last(self, model: keras.Model, history: History) -> None:
        """Write the whole state after the last epoch of ``history``; after :meth:`save_best`."""
        best = self._best_path(history)
        arrays = {**_arrays(model.variables, "v"), **_arrays(model.optimizer.variables, "o")}
        meta = {"version": _VERSION, "identity": self.identity, "history": history.to_dict()}
        _write(self.folder / "last.npz", {**arrays, _META: np.array(json.dumps(meta))})
        for old in shown_files(self.folder, "best-*.npz"):
            if old != best:
                old.unlink(missing_ok=True)

    def history(self) -> History | None:
        """Return the history of the saved state, None if there is none yet.

        Raises:
            QuantdetError: the folder belongs to another training.
            ModelError: the checkpoint is damaged.
        """
        path = self.folder / "last.npz"
        if not path.exists():
            return None
        meta = json.loads(str(_read(path)[_META]))
        changed = [
            key
            for key in {**self.identity, **meta["identity"]}
            if self.identity.get(key) != meta["identity"].get(key)
        ]
        if changed or meta["version"] != _VERSION:
            names = sorted(_MEANINGS.get(key, key) for key in changed) or ["file version"]
            raise QuantdetError(
                f"{path}: holds another training, which differs in {', '.join(names)}; "
                f"choose another output folder, or remove {self.folder}"
            )
        return History.from_dict(meta["history"])

    def restore_last(self, model: keras.Model) -> None:
        """Set variables and optimizer of a compiled model to the state after the last epoch."""
        path = self.folder / "last.npz"
        arrays = _read(path)
        model.optimizer.build(model.trainable_variables)
        _assign(path, model.variables, arrays, "v")
        _assign(path, model.optimizer.variables, arrays, "o")

    def restore_best(self, model: keras.Model, history: History) -> None:
        """Set the variables of ``model`` to those after the best epoch."""
        if history.rows:
            path = self._best_path(history)
            _assign(path, model.variables, _read(path), "v")

    def _best_path(self, history: History) -> Path:
        return self.folder / f"best-{history.best_epoch:04d}.npz"


def _arrays(variables: Sequence[keras.Variable], kind: str) -> dict[str, NDArray[np.number]]:
    return {f"{kind}{i:04d}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}


def _write(path: Path, arrays: Mapping[str, NDArray[np.number]]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        values: dict[str, Any] = dict(arrays)
        np.savez(stream, **values)


def _read(path: Path) -> dict[str, NDArray[np.number]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except Exception as error:  # zipfile and numpy raise about every kind on damaged bytes
        raise ModelError(
            f"{path}: checkpoint is missing or damaged ({error}); remove {path.parent} and "
            "train again"
        ) from None


def _assign(
    path: Path,
    variables: Sequence[keras.Variable],
    arrays: Mapping[str, NDArray[np.number]],
    kind: str,
) -> None:
    stored = [arrays[name] for name in sorted(arrays) if name[0] == kind and name != _META]
    if [tuple(v.shape) for v in variables] != [value.shape for value in stored]:
        raise ModelError(
            f"{path}: belongs to a model of another shape (e.g. another number of classes); "
            f"choose another output folder, or remove {path.parent}"
        )
    for variable, value in zip(variables, stored, strict=True):
        variable.assign(value)
