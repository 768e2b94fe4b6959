"""Small VOC folders made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantdet.data.scenes import generate_scenes

SIZE_HW = (60, 80)


def object_xml(
    name: str = "cat",
    box: tuple[object, object, object, object] = (11, 6, 40, 30),
    extra: str = "<truncated>0</truncated><difficult>0</difficult>",
) -> str:
    corners = "".join(
        f"<{tag}>{value}</{tag}>"
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{extra}<bndbox>{corners}</bndbox></object>"


def annotation_xml(objects: str, size_hw: tuple[int, int] | None = SIZE_HW) -> str:
    size = ""
    if size_hw is not None:
        size = f"<size><width>{size_hw[1]}</width><height>{size_hw[0]}</height></size>"
    return f"<annotation>{size}{objects}</annotation>"


class VocFolder:
    """A VOC folder under construction."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lists = root / "ImageSets" / "Main"

    def add(
        self,
        image_id: str,
        objects: str | None = None,
        splits: tuple[str, ...] = ("train",),
        size_hw: tuple[int, int] | None = SIZE_HW,
        suffix: str = ".jpg",
    ) -> VocFolder:
        self.add_picture(image_id, suffix)
        text = annotation_xml(object_xml() if objects is None else objects, size_hw)
        self.add_xml(image_id, text)
        for split in splits:
            self.add_to_list(split, image_id)
        return self

    def add_picture(self, image_id: str, suffix: str = ".jpg") -> Path:
        path = self.root / "JPEGImages" / f"{image_id}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = int.from_bytes(image_id.encode()[-4:], "big")
        pixels = np.random.default_rng(seed).integers(0, 255, (*SIZE_HW, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    def add_xml(self, image_id: str, text: str | bytes) -> Path:
        path = self.root / "Annotations" / f"{image_id}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def add_to_list(self, split: str, line: str) -> None:
        self.lists.mkdir(parents=True, exist_ok=True)
        with (self.lists / f"{split}.txt").open("a") as stream:
            stream.write(line + "\n")


@pytest.fixture
def voc(tmp_path: Path) -> VocFolder:
    """An empty VOC2012 folder."""
    folder = VocFolder(tmp_path / "VOCdevkit" / "VOC2012")
    folder.root.mkdir(parents=True)
    return folder


@pytest.fixture
def make_object() -> Callable[..., str]:
    return object_xml


@pytest.fixture
def make_annotation() -> Callable[..., str]:
    return annotation_xml


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten generated pictures of 96x128; do not write into it."""
    return generate_scenes(tmp_path_factory.mktemp("scenes"), count=10, size_hw=(96, 128))
