"""Divide a data set that has no splits: 70 % train, 15 % val, 15 % test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b

from quantdet.data.formats.folders import splits_in
from quantdet.data.records import UNSPLIT, Listing, Problem, Record

_SHARES = (("train", 0.70), ("val", 0.15), ("test", 0.15))
_SHOWN = 6


def divide(listing: Listing, seed: int = 0) -> Listing:
    """Return ``listing`` with train, val and test if it had no splits, else as it is.

    Folders that may have been meant as splits are noted.
    """
    if set(listing.splits) != {UNSPLIT}:
        return listing
    members: dict[str, list[Record]] = {}
    for record in listing.splits[UNSPLIT]:
        members.setdefault(split_of_id(record.image_id, seed), []).append(record)
    splits = {name: tuple(members[name]) for name, _ in _SHARES if name in members}
    notes = (*listing.notes, *_folders_like_splits(listing))
    return replace(listing, splits=splits, notes=notes)


def _folders_like_splits(listing: Listing) -> Iterator[Problem]:
    folders = {record.image_path.parent for record in listing.splits[UNSPLIT]}
    below = {f.relative_to(listing.root) for f in folders if f.is_relative_to(listing.root)}
    parts = sorted({part for folder in below for part in folder.parts if splits_in(part)})
    if len({split for part in parts for split in splits_in(part)}) > 1:
        reason = (
            f"folders {', '.join(parts[:_SHOWN])} may be meant as splits, but the pictures are "
            "divided 70/15/15; call the folders train, val and test"
        )
        yield Problem(listing.root, "folders_not_splits", reason, "warning")


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
