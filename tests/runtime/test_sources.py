import sys
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from quantdet.errors import DataError, DependencyError
from quantdet.runtime.sources import find_sources, frame_count, frames_per_second, read_frames
from tests.runtime.helpers import write_video


@pytest.fixture
def folder(tmp_path):
    """Pictures b.jpg and a.PNG, a text, and c.jpg one folder deeper."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("b.jpg", "a.PNG", "deep/c.jpg"):
        Image.new("RGB", (8, 6)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("x")
    return tmp_path / "in"


def names(sources):
    return [source.path.name for source in sources]


def test_folder_is_sorted_and_not_recursive(folder):
    assert names(find_sources([folder])) == ["a.PNG", "b.jpg"]


def test_globs(folder):
    assert names(find_sources([f"{folder}/*.jpg"])) == ["b.jpg"]
    assert names(find_sources([f"{folder}/**/*.jpg"])) == ["b.jpg", "c.jpg"]
    assert names(find_sources([f"{folder}/*"])) == ["a.PNG", "b.jpg"]


def test_relative_paths(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert names(find_sources(["b.jpg"])) == ["b.jpg"]
    assert names(find_sources(["*.jpg"])) == ["b.jpg"]


def test_the_same_file_counts_once(folder):
    assert names(find_sources([folder / "b.jpg", folder, f"{folder}/*.jpg"])) == ["b.jpg", "a.PNG"]


def test_a_name_with_glob_signs_is_a_file_if_it_exists(tmp_path):
    Image.new("RGB", (8, 6)).save(tmp_path / "dog[1].png")
    assert names(find_sources([tmp_path / "dog[1].png"])) == ["dog[1].png"]


def test_cameras(folder, monkeypatch):
    monkeypatch.chdir(folder)
    sources = find_sources(["camera:1", "0"])
    assert [(s.kind, s.name, s.camera) for s in sources] == [
        ("camera", "camera:1", 1),
        ("camera", "camera:0", 0),
    ]
    # A folder of that name wins.
    Image.new("RGB", (8, 6)).save(folder / "deep" / "x.png")
    (folder / "deep").rename(folder / "2007")
    assert names(find_sources(["2007"])) == ["c.jpg", "x.png"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("missing.jpg", r"missing\.jpg: no such file or folder; check the path"),
        ("empty", r"empty: holds no picture.*give a glob"),
        ("*.jpeg", r"\*\.jpeg: no picture or video matches; check the glob"),
        ("camera:front", "camera:front: not a camera; write camera:0"),
    ],
)
def test_nothing_there(tmp_path, monkeypatch, item, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        find_sources([item])


def test_no_input():
    with pytest.raises(DataError, match="nothing to predict; give pictures"):
        find_sources([])


def test_picture_gives_one_frame(folder):
    (source,) = find_sources([folder / "b.jpg"])
    frames = list(read_frames(source))
    assert [frame.shape for frame in frames] == [(6, 8, 3)]
    assert frame_count(source) == 1


def test_video_gives_rgb_frames(tmp_path):
    write_video(tmp_path / "v.mp4", [(255, 0, 0), (0, 0, 255), (0, 0, 255)], fps=5)
    (source,) = find_sources([tmp_path / "v.mp4"])
    assert source.kind == "video"
    frames = list(read_frames(source))
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 3
    # Compression changes colours a little; red and blue stay apart.
    assert frames[0].mean((0, 1)).argmax() == 0
    assert frames[2].mean((0, 1)).argmax() == 2
    assert frame_count(source) == 3
    assert frames_per_second(source) == pytest.approx(5)


def test_damaged_video(tmp_path):
    pytest.importorskip("cv2")
    (tmp_path / "v.mp4").write_bytes(b"no video at all")
    (source,) = find_sources([tmp_path / "v.mp4"])
    with pytest.raises(DataError, match=r"v\.mp4: cannot be opened; not a video"):
        list(read_frames(source))


def test_without_opencv(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    (source,) = find_sources(["camera:0"])
    with pytest.raises(DependencyError, match=r'pip install "quantdet\[video\]"'):
        next(read_frames(source))


class FakeCapture:
    """Stands for cv2.VideoCapture: a list of frames, then the end."""

    frames: ClassVar[list[np.ndarray]] = []
    released = 0

    def __init__(self, index):
        self.left = list(self.frames)

    def isOpened(self):
        return True

    def grab(self):
        return bool(self.left)

    def retrieve(self):
        return True, self.left.pop(0)

    def release(self):
        type(self).released += 1


def test_camera_is_released_when_reading_stops_early(monkeypatch):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(FakeCapture, "frames", [np.full((4, 5, 3), (1, 2, 3), np.uint8)] * 3)
    monkeypatch.setattr(FakeCapture, "released", 0)
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    (source,) = find_sources(["camera:0"])
    assert frame_count(source) == 0
    frames = read_frames(source)
    # OpenCV gives BGR.
    assert next(frames)[0, 0].tolist() == [3, 2, 1]
    frames.close()
    assert FakeCapture.released == 1


def test_camera_that_gives_nothing(monkeypatch):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(FakeCapture, "frames", [])
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    with pytest.raises(DataError, match="camera:0: delivers no picture; check"):
        list(read_frames(find_sources(["camera:0"])[0]))
