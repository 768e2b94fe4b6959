"""What ``predict`` has drawn before ``predictions.json`` lists it.

    FOLDER/.predictions.quantdet-…   a name a line, as JSON; gone when predictions.json is there

Without it the files of a call that was killed would be taken for the user's, and the same call
again would put its pictures beside them.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from quantdet.errors import QuantdetError
from quantdet.system.owner import Owner
from quantdet.system.temporary import owner_of, temporary_path

_START = "predictions"


class Journal:
    """Names of files in a folder that this call writes.

    Args:
        folder: is made with the first name.
    """

    def __init__(self, folder: Path) -> None:
        self._file = temporary_path(folder / _START)
        self.earlier = _left_names(folder)
        """What calls wrote that did not end well."""
        self._begun = False
        self._made_folder = not folder.exists()

    def add(self, name: str) -> None:
        """Note a name before the file gets it.

        Raises:
            QuantdetError: the folder cannot be written.
        """
        names = [name] if self._begun else [*sorted(self.earlier), name]
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="ascii") as stream:
                stream.write("".join(f"{json.dumps(item)}\n" for item in names))
        except OSError as error:
            raise QuantdetError(
                f"{self._file.parent}: cannot write here ({error.strerror}); "
                "choose another output folder or fix its permissions"
            ) from error
        self._begun = True

    def close(self) -> None:
        """Forget the names: they are listed elsewhere now, or no file has them."""
        self._file.unlink(missing_ok=True)
        if self._made_folder:
            with suppress(OSError):  # only if it is empty
                self._file.parent.rmdir()


def _left_names(folder: Path) -> set[str]:
    found: set[str] = set()
    for file in folder.glob(f".{_START}.*") if folder.is_dir() else ():
        owner = owner_of(file.name)
        if owner is not None and (owner.is_gone() or owner == Owner.this_process()):
            found |= _names(file)
    return found


def _names(file: Path) -> set[str]:
    names: set[str] = set()
    for line in file.read_text("ascii", errors="replace").splitlines():
        try:
            names.add(str(json.loads(line)))
        except ValueError:  # the last one, half written: no file has it yet
            continue
    return names
