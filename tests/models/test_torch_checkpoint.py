import os
import pickle
import pickletools
import zipfile

import checkpoints
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantdet.errors import ModelError
from quantdet.models.torch_checkpoint import read_state_dict


@pytest.mark.parametrize("legacy", [False, True])
@settings(max_examples=25, deadline=None)
@given(
    arrays=st.lists(
        st.one_of(
            hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=4, max_side=4)),
            hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_round_trip(tmp_path_factory, legacy, arrays):
    path = tmp_path_factory.mktemp("pth") / "model.pth"
    state = {f"layer{i}.weight": array for i, array in enumerate(arrays)}
    checkpoints.write(path, state, legacy=legacy)
    read = read_state_dict(path)
    assert list(read) == list(state)
    for name, value in state.items():
        np.testing.assert_array_equal(read[name], value)
        assert read[name].dtype == value.dtype


class _Evil:
    def __reduce__(self):
        return os.system, ("touch owned",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_is_refused(tmp_path, monkeypatch, legacy):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    checkpoints.write(path, {"a": np.zeros(2, np.float32)}, legacy=legacy, extra=_Evil())
    with pytest.raises(ModelError, match=r"evil\.pth.*system.*state_dict"):
        read_state_dict(path)
    assert not (tmp_path / "owned").exists()


def test_state_dict_inside_a_training_checkpoint(tmp_path):
    path = tmp_path / "training.pth"
    checkpoints.write(path, {"module.a": np.arange(3, dtype=np.float32)}, extra={"epoch": 3})
    assert list(read_state_dict(path)) == ["a"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x02]q\x00."])
def test_damaged_file_names_file_and_remedy(tmp_path, content):
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.pth.*download it again"):
        read_state_dict(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_cut_off_file(tmp_path, legacy):
    path = tmp_path / "cut.pth"
    checkpoints.write(path, {"a": np.zeros(1000, np.float32)}, legacy=legacy)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ModelError, match=r"cut\.pth"):
        read_state_dict(path)


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match="no such checkpoint"):
        read_state_dict(tmp_path / "none.pth")


def handmade(shape, strides, build=b""):
    """Return a checkpoint of 16 numbers, whose one tensor says what it likes of itself."""

    def pickled(value):
        return pickletools.optimize(pickle.dumps(value, 2))[2:-1]

    tensor = b"".join(
        (
            b"ctorch._utils\n_rebuild_tensor_v2\n(",
            *(b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n", pickled("0"), pickled("cpu")),
            *(pickled(16), b"tQ", pickled(0), pickled(shape), pickled(strides), b"\x89}tR", build),
        )
    )
    return b"\x80\x02}" + pickled("a") + tensor + b"s."


@pytest.mark.parametrize(
    ("shape", "strides", "build", "says"),
    [
        ((2**31,), (0,), b"", "reaches past its storage"),
        ((8, 2**28), (1, 0), b"", "reaches past its storage"),
        ((17,), (1,), b"", "reaches past its storage"),
        ((4, 4), (1000, -1000), b"", "negative size or stride"),
        ((-1, 4), (1, 1), b"", "negative size or stride"),
        ((4.0,), (1,), b"", "negative size or stride"),
        ((4,), (1, 1), b"", "malformed tensor"),
        ((4,), (1,), b"}X\x05\x00\x00\x00shapeK\x63sb", "an object with attributes"),
        ((4,), (1,), b"cos\nsystem\n0", "os.system"),
        ((4,), (1,), b"I5\n0", "opcode 'I'"),
    ],
)
def test_shapes_and_strides_are_those_of_the_storage(tmp_path, shape, strides, build, says):
    path = tmp_path / "oob.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", handmade(shape, strides, build))
        archive.writestr("archive/data/0", bytes(64))
    with pytest.raises(ModelError, match=says):
        read_state_dict(path)


def test_handmade_checkpoint_is_read_where_it_is_right(tmp_path):
    path = tmp_path / "good.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", handmade((2, 4), (8, 2)))
        archive.writestr("archive/data/0", np.arange(16, dtype="<f4").tobytes())
    np.testing.assert_array_equal(read_state_dict(path)["a"], [[0, 2, 4, 6], [8, 10, 12, 14]])
    assert not read_state_dict(path, ["b"])


def test_zip_bomb(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", handmade((4,), (1,)))
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(ModelError, match="compressed"):
        read_state_dict(path)


def test_keys_that_take_for_ever_to_hash(tmp_path):
    pair = b"".join((b"K\x01", *[b"q\x01h\x01\x86"] * 60))  # ((x, x), (x, x)), 60 levels
    path = tmp_path / "hash.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}" + pair + b"K\x01s.")
    with pytest.raises(ModelError, match="neither text nor numbers"):
        read_state_dict(path)


def test_large_reference_numbers_take_no_memory(tmp_path):
    path = tmp_path / "memo.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}r\xff\xff\xff\x7f.")
    with pytest.raises(ModelError, match="no tensors inside"):
        read_state_dict(path)
