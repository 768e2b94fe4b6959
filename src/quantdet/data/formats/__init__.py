"""Data set formats: one file each, one line each in :data:`FORMATS`."""

from __future__ import annotations

from quantdet.data.formats.voc import read_voc
from quantdet.data.records import Reader

FORMATS: dict[str, Reader] = {
    "voc": read_voc,
}
