"""Divide a data set that has no splits: 70 % train, 15 % val, 15 % test."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

from quantdet.data.records import UNSPLIT, Listing, Record

_SHARES = (("train", 0.70), ("val", 0.15), ("test", 0.15))


def divide(listing: Listing, seed: int = 0) -> Listing:
    """Return ``listing`` with train, val and test if it had no splits, else as it is."""
    if set(listing.splits) != {UNSPLIT}:
        return listing
    members: dict[str, list[Record]] = {}
    for record in listing.splits[UNSPLIT]:
        members.setdefault(split_of_id(record.image_id, seed), []).append(record)
    splits = {name: tuple(members[name]) for name, _ in _SHARES if name in members}
    return replace(listing, splits=splits)


def split_of_id(image_id: str, seed: int = 0) -> str:
    """Return the split of a picture.

    It depends on nothing but the id and the seed (their blake2b hash), so adding or removing
    pictures moves no other picture to another split.
    """
    salt = seed.to_bytes(8, "big", signed=True) if seed else b""
    digest = blake2b(image_id.encode("utf-8", "surrogatepass"), digest_size=8, salt=salt).digest()
    position = int.from_bytes(digest, "big") / 2**64
    for name, share in _SHARES:
        if position < share:
            return name
        position -= share
    return _SHARES[-1][0]
