import sys
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from quantdet.errors import DataError, DependencyError
from quantdet.runtime.sources import (
    BrokenOffError,
    find_sources,
    frame_count,
    frames_per_second,
    read_frames,
    skipped_files,
)
from tests.runtime.helpers import mjpeg_server, write_video


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


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ("rtsp://host/stream", "rtsp://host/stream"),
        ("RTSP://user:secret@host:554/a", "RTSP://host:554/a"),
        ("http://host/x.mjpg", "http://host/x.mjpg"),
    ],
)
def test_streams(item, name):
    (source,) = find_sources([item])
    assert (source.kind, source.name, source.url) == ("stream", name, item)
    assert source.is_live
    assert frames_per_second(source) == 25  # it is not opened for this


def test_a_device_is_a_camera():
    (source,) = find_sources(["/dev/video2"])
    assert (source.kind, source.name, source.camera) == ("camera", "/dev/video2", 2)


def test_stream_that_does_not_answer():
    pytest.importorskip("cv2")
    (source,) = find_sources(["http://127.0.0.1:9/nothing.mjpg"])
    with pytest.raises(DataError, match=r"nothing\.mjpg: cannot be opened; check the address"):
        next(read_frames(source))


def test_stream_over_http(tmp_path):
    """A camera's MJPEG over HTTP, as OpenCV reads it."""
    pytest.importorskip("cv2")
    with mjpeg_server([(255, 0, 0), (0, 0, 255), (0, 0, 255)]) as url:
        (source,) = find_sources([url])
        frames = list(read_frames(source))
    # A server that goes away takes the last frame along: nothing says that it is whole.
    assert [int(frame.mean((0, 1)).argmax()) for frame in frames] == [0, 2]


def test_every_third_frame(tmp_path):
    colors = [(255, 0, 0), (0, 0, 255), (0, 0, 255), (0, 255, 0), (0, 0, 255)]
    write_video(tmp_path / "v.mp4", colors)
    (source,) = find_sources([tmp_path / "v.mp4"])
    frames = list(read_frames(source, every=3))
    assert [int(frame.mean((0, 1)).argmax()) for frame in frames] == [0, 1]


def broken_video(path):
    """An AVI whose end is missing, though its header promises 40 frames."""
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    rng = np.random.default_rng(0)
    for _ in range(40):
        writer.write(rng.integers(0, 256, (64, 96, 3), np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    return path


def test_video_that_breaks_off(tmp_path):
    (source,) = find_sources([broken_video(tmp_path / "half.avi")])
    frames = read_frames(source)
    seen = 0
    with pytest.raises(BrokenOffError, match=r"half\.avi: breaks off after \d+ of 40") as caught:
        for _ in frames:
            seen += 1
    assert 0 < seen == caught.value.frames < 20


def test_video_that_is_left_early_is_whole(tmp_path):
    (source,) = find_sources([broken_video(tmp_path / "half.avi")])
    frames = read_frames(source)
    next(frames)
    frames.close()


def test_what_is_no_picture_is_named(folder):
    (folder / "clip.mp4").write_bytes(b"")
    (folder / "old.JFIF").write_bytes((folder / "b.jpg").read_bytes())
    assert names(find_sources([folder])) == ["a.PNG", "b.jpg", "old.JFIF"]
    (folder / "gone.jpg").symlink_to(folder / "nothing")
    (folder / "more.png").mkdir()
    (folder / "within").mkdir()
    assert [path.name for path in skipped_files([folder, "0"])] == [
        "clip.mp4", "gone.jpg", "more.png", "notes.txt",
    ]  # fmt: skip
    assert skipped_files([folder / "b.jpg"]) == []
