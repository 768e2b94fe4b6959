"""What a file name may do to a terminal."""

from __future__ import annotations

import pytest

from quantdet.cli.output import show
from quantdet.system.shown import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("straße 狗.jpg", "straße 狗.jpg"),
        ("a\nb\x1b[2J.jpg", "a\\nb\\x1b[2J.jpg"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("not utf-8 \udcff", "not utf-8 \\udcff"),
    ],
)
def test_what_is_not_printed_is_an_escape(text, shown):
    assert printable(text) == shown


def test_a_message_keeps_its_lines():
    assert printable("one\n\ttwo\r", keep="\n\t") == "one\n\ttwo\\r"


def test_every_answer_of_a_command_is_printable(capsys):
    show({}, as_json=False, text="split  picture\ntrain  a\x1b[2J.jpg")
    assert capsys.readouterr().out == "split  picture\ntrain  a\\x1b[2J.jpg\n"
