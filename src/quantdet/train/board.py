"""What TensorBoard shows of a training: losses, rate, mean AP, validation pictures with boxes."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.event_file_writer import (  # type: ignore[import-untyped]
    EventFileWriter,
)

from quantdet.train.history import Row


class Board:
    """Event files in a folder.

    Args:
        folder: what ``tensorboard --logdir`` gets.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = EventFileWriter(str(folder))

    def add_row(self, row: Row) -> None:
        """Add the figures of an epoch; those of training and validation get one chart."""
        for name, value in row.items():
            if name != "epoch":
                part = "validation" if name.startswith("val_") else "train"
                tag = f"{name.removeprefix('val_')}/{part}"
                self._add(Summary.Value(tag=tag, simple_value=value), int(row["epoch"]))
        self._writer.flush()

    def add_pictures(self, pictures: Sequence[NDArray[np.uint8]], epoch: int) -> None:
        """Add pictures, uint8 (H, W, 3), RGB."""
        for number, picture in enumerate(pictures, start=1):
            height, width = picture.shape[:2]
            image = Summary.Image(
                height=height, width=width, colorspace=3, encoded_image_string=_png(picture)
            )
            self._add(Summary.Value(tag=f"validation/picture {number}", image=image), epoch)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _add(self, value: Summary.Value, epoch: int) -> None:
        self._writer.add_event(
            Event(wall_time=time.time(), step=epoch, summary=Summary(value=[value]))
        )


def _png(picture: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "png")
    return stream.getvalue()
