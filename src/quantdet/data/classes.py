"""Rename, merge and choose classes of a data set before anything is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quantdet.data.records import Listing, Record
from quantdet.data.sample import ObjectAnnotation
from quantdet.errors import ConfigError


@dataclass(frozen=True)
class ClassChoice:
    """How the classes of a data set are renamed, merged and left out.

    Attributes:
        rename: class of the data set → class to learn; "" leaves its objects out.
        only: classes to learn, after renaming, in the order of class ids; objects of others are
            left out. Empty takes all.
    """

    rename: Mapping[str, str]
    only: Sequence[str] = ()

    def apply(self, listing: Listing) -> Listing:
        """Return ``listing`` with other classes; pictures left without objects are background.

        Raises:
            ConfigError: a class is named that the data set does not have.
        """
        if not self.rename and not self.only:
            return listing
        known = _names(listing)
        _require("class_map", self.rename, known)
        labels = tuple(dict.fromkeys(self.rename.get(name, name) for name in known))
        _require("classes", self.only, labels)
        # A picture of several splits stays one record.
        unique = {id(r): r for records in listing.splits.values() for r in records}
        changed = {key: self._record(record) for key, record in unique.items()}
        splits = {
            split: tuple(changed[id(r)] for r in records)
            for split, records in listing.splits.items()
        }
        left = tuple(filter(None, labels)) if listing.labels else ()
        return replace(listing, splits=splits, labels=tuple(self.only) or left)

    def _record(self, record: Record) -> Record:
        if record.sample is None:
            return record
        objects = tuple(filter(None, map(self._object, record.sample.objects)))
        return replace(record, sample=replace(record.sample, objects=objects))

    def _object(self, item: ObjectAnnotation) -> ObjectAnnotation | None:
        label = self.rename.get(item.label, item.label)
        if not label or (self.only and label not in self.only):
            return None
        return item if label == item.label else replace(item, label=label)


def _names(listing: Listing) -> tuple[str, ...]:
    """Return the class list of the format, and what else is in the annotations."""
    found = dict.fromkeys(listing.labels)
    for records in listing.splits.values():
        for record in records:
            if record.sample is not None:
                found |= dict.fromkeys(item.label for item in record.sample.objects)
    return tuple(found)


def _require(key: str, wanted: Sequence[str] | Mapping[str, str], known: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in known]
    if missing:
        raise ConfigError(
            f"[data] {key}: {missing[0]!r} is not a class of the data set; "
            f"it has {', '.join(known)}"
        )
