"""``pictures.json``: what the pictures and annotations were that a run was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from pydantic import ValidationError

from quantdet.errors import DataError
from quantdet.system.result_file import ResultFile


class Contents(ResultFile):
    """``pictures.json``, see ``data.contents``.

    Attributes:
        labels: class names in the order of class ids.
        splits: split → id of a picture → digests of its bytes and of its annotation.
    """

    labels: tuple[str, ...] = ()
    splits: Mapping[str, Mapping[str, tuple[str, str]]] = {}

    @property
    def fingerprint(self) -> str:
        """Hexadecimal blake2b digest of labels, splits, their order, and every picture."""
        splits = [(split, [*pictures.items()]) for split, pictures in self.splits.items()]
        return blake2b(repr((self.labels, splits)).encode(), digest_size=16).hexdigest()

    @classmethod
    def read(cls, path: Path) -> Contents:
        """Return what a file says.

        Raises:
            DataError: it is not readable.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise DataError(
                f"{path}: not readable ({reason}); restore it, or remove it: then nobody can tell "
                "whether the data is that of training"
            ) from None
