"""The contract inside a .tflite: a file of the zip archive that follows the model.

The archive is the one that TFLite's metadata puts there (docs/deploy.md).
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

CONTRACT_NAME = "quantdet.contract.json"
_MOST_BYTES = 16 << 20  # a real one has some kilobytes


def embedded_contract(model_file: Path) -> str | None:
    """Return the JSON of the contract inside a .tflite; None if there is none, or it is damaged."""
    try:
        with zipfile.ZipFile(model_file) as archive:
            info = archive.getinfo(CONTRACT_NAME)
            if info.file_size > _MOST_BYTES or _model_size(archive) < 0:
                return None
            return archive.read(info).decode()
    except Exception:  # zipfile and its decompressors raise about every kind on damaged bytes
        return None


def model_sha256(model_file: Path) -> str:
    """Return the hexadecimal sha256 of a .tflite without the archive that follows the model."""
    with zipfile.ZipFile(model_file) as archive:
        size = _model_size(archive)
    with model_file.open("rb") as stream:
        return hashlib.sha256(stream.read(size)).hexdigest()


def _model_size(archive: zipfile.ZipFile) -> int:
    """Return the bytes in front of the archive; negative where its offsets are damaged."""
    return min(info.header_offset for info in archive.infolist())
