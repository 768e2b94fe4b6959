"""Ways to spoil a file: any bytes, words and numbers of texts, nodes of JSON."""

from __future__ import annotations

import json
import re
import struct

ODD = (
    *("", "nan", "-inf", "1e400", "-1", "0", "0.5", "99999", "null", "true", "[]", "{}", "[1, 2]"),
    *("🐈", "\x00", "../../x", "/dev/null", "con", "a\\b", '"', "<", "]]>", "&x;", "\ufeff", "- a"),
    *("4294967296", "18446744073709551616", "9" * 5000, "1e308", "0x" + "f" * 5000, "[" * 3000),
    *("&a [*a, *a]", "*a", "<<: *a", "2001-99-99", "!!python/name:os.system", "=1+1", "a\r\nb"),
)
DEEP: list = []
for _ in range(900):
    DEEP = [DEEP]
VALUES = (
    *(None, True, -1, 0, 0.5, 2**31, 2**63, 10**400, float("nan"), float("inf"), 1e308, -1e-320),
    *("", "x", "1", "\x00", "\ud800", "=1+1", "a\nb", "../../etc/passwd", "/dev/zero", "x" * 70000),
    *([], [1], {}, {"a": 1}, [[[[1]]]], DEEP, list(range(3000)), {str(n): n for n in range(500)}),
)
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)


def spoil_bytes(content, chance):
    """Cut, repeat, flip, replace or move some bytes."""
    start = chance.randrange(len(content) + 1)
    end = min(len(content), start + chance.choice((1, 3, 20, 200)))
    piece = content[start:end]
    kind = chance.randrange(7)
    if kind == 0:
        piece = b""
    elif kind == 1:
        piece = piece * chance.choice((2, 50))
    elif kind == 2:
        piece = bytes(byte ^ (1 << chance.randrange(8)) for byte in piece)
    elif kind == 3:
        piece = chance.choice(ODD).encode()
    elif kind == 4:
        other = chance.randrange(len(content) + 1)
        piece = content[other : other + len(piece)]
    elif kind == 5:
        piece = spoil_number(piece, chance)
    else:
        end = len(content)
        piece = b""
    return content[:start] + piece + content[end:]


def spoil_number(piece, chance):
    """Replace one number of 1, 2 or 4 bytes, of either order."""
    code = chance.choice(("<B", "<H", ">H", "<I", ">I"))
    number = chance.choice(NUMBERS) % 256 ** struct.calcsize(code)
    return struct.pack(code, number) + piece[struct.calcsize(code) :]


def spoil_bit(content, chance):
    """Flip one bit: most of the file stays readable."""
    at = chance.randrange(max(1, len(content)))
    return (
        content[:at]
        + bytes(b ^ (1 << chance.randrange(8)) for b in content[at : at + 1])
        + (content[at + 1 :])
    )


def spoil_word(content, chance):
    """Replace a number or a word."""
    words = re.split(r"(\s+|[<>=\"',:{}\[\]]+)", content.decode(errors="replace"))
    words[chance.randrange(len(words))] = chance.choice(ODD)
    return "".join(words).encode()


def spoil_line(content, chance):
    """Repeat, swap or remove a line."""
    lines = content.splitlines(keepends=True) or [b""]
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    kind = chance.randrange(3)
    if kind == 0:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at : at + 1] = [lines[at]] * (0, 0, chance.choice((2, 300)))[kind]
    return b"".join(lines)


def spoil_json(content, chance):
    """Replace, remove or repeat a node."""
    tree = json.loads(content)
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = chance.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.8:
            node = node[key]
            continue
        if chance.random() < 0.3:
            del node[key]
        else:
            node[key] = chance.choice(VALUES)
        break
    return json.dumps(tree).encode()


_MOST_BYTES = 1 << 20
_TEXTS = (".json", ".labels", ".txt", ".xml", ".csv", ".yaml", ".toml", ".names", ".data")


def spoil(content, suffix, chance):
    """Return the content of a file with something wrong.

    Args:
        content: of the file.
        suffix: of its name, which tells what may be done to it.
        chance: decides all.
    """
    kinds = [spoil_bytes, spoil_bytes, spoil_bit]
    if suffix in _TEXTS:
        kinds += [spoil_word, spoil_word, spoil_line]
    if suffix in (".json", ".labels"):
        kinds += [spoil_json] * 5
    for _ in range(chance.choice((1, 1, 3))):
        try:
            content = chance.choice(kinds)(content, chance)
        except (ValueError, TypeError, RecursionError):  # it is no JSON by now
            content = spoil_bytes(content, chance)
    return content[:_MOST_BYTES]
