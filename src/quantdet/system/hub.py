"""Files of a repository on the Hugging Face hub, moved by its own library (extra ``hub``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from quantdet.errors import DependencyError, ModelError

_SCHEME = "hf://"
# As the library's own file system writes it: hf://USER/NAME@REVISION/FILE.
_ADDRESS = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/\s]+))?(?:/(?P<file>(?!.*\.\.)\S+))?"
)


@dataclass(frozen=True)
class HubAddress:
    """Where something lies on the hub.

    Attributes:
        repo: USER/NAME.
        revision: branch, tag or commit; None for the main branch.
        file: path in the repository; None for all of it.
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{_SCHEME}{self.repo}{revision}{f'/{self.file}' if self.file else ''}"

    @property
    def name(self) -> str:
        """Name of the repository, without its user."""
        return self.repo.partition("/")[2]


def is_hub_address(text: str) -> bool:
    """Return whether a text means something on the hub."""
    return text.startswith(_SCHEME)


def parse_address(text: str) -> HubAddress:
    """Return what ``hf://USER/NAME[@REVISION][/FILE]`` says.

    Raises:
        ModelError: it is not of that form.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ModelError(f"{text}: not an address on the hub; write hf://USER/NAME")
    return HubAddress(**found.groupdict())


def download(address: HubAddress, patterns: Sequence[str]) -> Path:
    """Return a folder with files of a repository, from the library's cache where they are current.

    Args:
        address: its ``file`` is not looked at.
        patterns: globs of the files wanted.

    Raises:
        ModelError: no such repository or revision, or no connection and nothing in the cache.
        DependencyError: the library is not installed.
    """
    library = _library()
    with _explained(address):
        folder = library.snapshot_download(
            address.repo, revision=address.revision, allow_patterns=list(patterns)
        )
    return Path(folder)


def upload(folder: Path, address: HubAddress, message: str, *, private: bool) -> str:
    """Send all files of a folder in one commit; return the address of the commit in a browser.

    A README.md that the repository has already stays as it is: people write in it.

    Args:
        folder: files to send.
        address: the repository, made where it is missing; its ``file`` is not looked at.
        message: of the commit.
        private: whether a new repository is private.

    Raises:
        ModelError: no right to write there, or no connection.
        DependencyError: the library is not installed.
    """
    library = _library()
    with _explained(address):
        api = library.HfApi()
        api.create_repo(address.repo, private=private, exist_ok=True)
        kept = api.file_exists(address.repo, "README.md", revision=address.revision)
        commit = api.upload_folder(
            repo_id=address.repo,
            folder_path=folder,
            commit_message=message,
            revision=address.revision,
            ignore_patterns=["README.md"] if kept else None,
        )
    return str(commit.commit_url)


@contextmanager
def _explained(address: HubAddress) -> Iterator[None]:
    """Say in one sentence what the hub refused."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.RepositoryNotFoundError, errors.GatedRepoError) as error:
        reason = "is gated" if isinstance(error, errors.GatedRepoError) else "no such repository"
        raise ModelError(
            f"{address}: {reason}, or none that you may see; check the name, and log in with "
            "`hf auth login`"
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelError(
            f"{address}: the repository has no revision {address.revision!r}; leave it out for "
            "the main branch"
        ) from None
    except errors.LocalEntryNotFoundError:
        raise ModelError(
            f"{address}: no connection to the hub, and not in its cache; check the network"
        ) from None
    except (errors.HTTPError, errors.HFValidationError) as error:
        said = " ".join(str(error).split())
        raise ModelError(
            f"{address}: the hub did not do it ({said}); check the network, and log in with "
            "`hf auth login`"
        ) from None


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        raise DependencyError(
            'hf:// needs the library of the Hugging Face hub: pip install "quantdet[hub]"'
        ) from None
    module: ModuleType = huggingface_hub
    return module
