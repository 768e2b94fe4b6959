"""Class names as tools write them."""

import pytest

from quantdet.data.labels import read_label_map


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\ncat:1,2,3::\nt: x:0,0,0::\n",
            "cat|t: x",
        ),
        (
            "pascal_label_map.pbtxt",
            "item {\n id: 1\n name: 'cat'\n}\nitem { name: \"a b\" }",
            "cat|a b",
        ),
        ("label_list.txt", "\ufeffcat\n\ndog \ncat\n", "cat|dog"),
    ],
)
def test_label_maps(tmp_path, name, text, names):
    (tmp_path / name).write_text(text, "utf-8")
    assert read_label_map(tmp_path / name) == tuple(names.split("|"))
