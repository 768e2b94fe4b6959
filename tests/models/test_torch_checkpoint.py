import os

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
