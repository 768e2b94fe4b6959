"""Download one file over HTTP, and resume where a transfer broke off (RFC 9110, section 14)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import unquote, urlsplit

from quantdet.errors import DataError, DependencyError
from quantdet.progress import Tick, no_tick
from quantdet.system.atomic import write_json

if TYPE_CHECKING:
    from requests import Response

# A connection that breaks loses the block under way, so blocks are small.
_BLOCK = 1 << 14
_TIMEOUT_S = (15, 60)
_TRIES_WITHOUT_PROGRESS = 3
_BY_HAND = "download it yourself and give the file instead (of data with --from FILE)"
_PARTIAL, _RANGE_NOT_SATISFIABLE, _FIRST_ERROR = 206, 416, 400


def fetch(url: str, folder: Path, progress: Tick = no_tick) -> Path:
    """Download ``url`` into ``folder``.

    While it is not complete the file is called NAME.part. NAME.part.json remembers its address
    and which version of it the server sends. A broken connection is taken up again by a range
    request, in this call or in a later one; if the file changed on the server, or the server
    knows no ranges, it starts anew.

    Args:
        url: http or https.
        folder: created if missing; a complete file in it of that address is not fetched again.
        progress: called with (bytes, all bytes; 0 if the server does not tell).

    Returns:
        The complete file; its length is the one announced.

    Raises:
        DataError: no connection, refused by the server, or broken off for good.
        DependencyError: requests is not installed.
    """
    requests = _import_requests()
    path = fetched_file(url, folder)
    part = _part(path)
    if path.exists() and _read_note(part, url) is not None:
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tries = 0
        while True:
            before = _size(part)
            try:
                if _transfer(requests, url, part, progress):
                    break
                reason = "connection closed early"
            except requests.RequestException as error:
                reason = str(error)
            tries = 0 if _size(part) > before else tries + 1
            if tries >= _TRIES_WITHOUT_PROGRESS:
                raise _broken_off(url, part, reason)
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{part}: cannot be written ({error}); check space and permissions"
        ) from None
    return path


def fetched_file(url: str, folder: Path) -> Path:
    """Return where :func:`fetch` puts the complete file."""
    return folder / _file_name(url)


def forget(path: Path) -> None:
    """Remove a fetched file, and what was noted of it."""
    path.unlink(missing_ok=True)
    _note_file(_part(path)).unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _transfer(requests: ModuleType, url: str, part: Path, progress: Tick) -> bool:
    """Fetch what is missing of ``part``; return whether it is complete."""
    have = _size(part)
    unknown: _Note = {"version": "", "total": 0}
    noted = _read_note(part, url) or unknown
    if have and not (noted["version"] or noted["total"]):
        have = 0  # nothing would tell whether this is the beginning of the same file
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if noted["version"]:
            headers["If-Range"] = noted["version"]
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        if response.status_code == _RANGE_NOT_SATISFIABLE:
            if _total(response, 0) == have:
                return True
            part.unlink()
            return False
        if response.status_code >= _FIRST_ERROR:
            raise DataError(
                f"{url}: the server refused it ({response.status_code} {response.reason}); check "
                f"the address in a browser, or {_BY_HAND}"
            )
        if response.status_code != _PARTIAL or not _starts_at(response, have):
            have = 0
        total = _total(response, have)
        if have and total != noted["total"]:
            part.unlink()  # another file by now
            return False
        _write_note(part, url, response, total)
        with part.open("ab" if have else "wb") as stream:
            for block in response.iter_content(_BLOCK):
                stream.write(block)
                have += len(block)
                progress(have, total)
    if total and have > total:
        part.unlink()
        raise DataError(f"{url}: sent more than the {total} bytes announced; try again")
    return not total or have == total


def _starts_at(response: Response, position: int) -> bool:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == position


def _total(response: Response, have: int) -> int:
    found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    if found:
        return int(found[1])
    length = response.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else 0


class _Note(TypedDict):
    version: str
    total: int


def _note_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path, url: str) -> _Note | None:
    """Return what the server said of the file that ``part`` begins; None: it is of elsewhere."""
    try:
        noted = json.loads(_note_file(part).read_text("utf-8"))
        if noted["url"] != url:
            return None
        return {"version": str(noted["version"]), "total": int(noted["total"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_note(part: Path, url: str, response: Response, total: int) -> None:
    etag = response.headers.get("ETag", "")
    # RFC 9110, 13.1.5: a weak ETag must not be used for ranges.
    strong = "" if etag.startswith("W/") else etag
    version = strong or response.headers.get("Last-Modified", "")
    write_json(_note_file(part), {"url": url, "version": version, "total": total})


def _broken_off(url: str, part: Path, reason: str) -> DataError:
    have = _size(part)
    if not have:
        return DataError(
            f"{url}: no connection ({reason}); check network and address, or {_BY_HAND}"
        )
    return DataError(
        f"{url}: broke off after {have} bytes ({reason}); run the same command again to resume, "
        f"what was received is in {part}"
    )


def _file_name(url: str) -> str:
    name = re.sub(r"[^\w.+-]", "_", unquote(Path(urlsplit(url).path).name))
    return name.lstrip(".") or "archive"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _import_requests() -> ModuleType:
    try:
        import requests
    except ImportError:
        raise DependencyError(
            f"requests is not installed; install it with `pip install requests`, or {_BY_HAND}"
        ) from None
    module: ModuleType = requests
    return module
