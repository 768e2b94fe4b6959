"""What each client may have the server hold and do at once, so that none takes it all."""

from __future__ import annotations

from collections import Counter

from starlette.exceptions import HTTPException

from quantdet.web.site import MAX_BYTES

MOST_BYTES = 4 * MAX_BYTES
"""Most bytes of one client's pictures that are held, whole or on their way."""
MOST_PICTURES = 64
"""Most pictures of one client that wait for detection; uploads that hang do not count."""


class Clients:
    """What is held for each address. For one event loop only: nothing is locked."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()
        self.pictures: Counter[str] = Counter()


class Upload:
    """One picture of a client, from its first byte to its answer; then it is closed.

    Args:
        clients: of the server.
        address: of the client.
    """

    def __init__(self, clients: Clients, address: str) -> None:
        self._clients = clients
        self._address = address
        self._content = bytearray()
        self._whole = False

    def add(self, chunk: bytes) -> None:
        """Take what came.

        Raises:
            HTTPException: the picture is too large, or the client sends too many at once.
        """
        self._clients.bytes[self._address] += len(chunk)
        self._content += chunk
        if len(self._content) > MAX_BYTES:
            raise HTTPException(
                413, f"the picture has more than {MAX_BYTES / 2**20:.0f} MiB; make it smaller"
            )
        if self._clients.bytes[self._address] > MOST_BYTES:
            raise _busy(f"pictures of {MOST_BYTES / 2**20:.0f} MiB")

    def whole(self) -> bytes:
        """Return the picture, which waits for detection from now on.

        Raises:
            HTTPException: too many pictures of the client wait.
        """
        if self._clients.pictures[self._address] >= MOST_PICTURES:
            raise _busy(f"{MOST_PICTURES} pictures")
        self._clients.pictures[self._address] += 1
        self._whole = True
        return bytes(self._content)

    def close(self) -> None:
        """Give back what it took."""
        for counter, count in (
            (self._clients.bytes, len(self._content)),
            (self._clients.pictures, int(self._whole)),
        ):
            counter[self._address] -= count
            if not counter[self._address]:
                del counter[self._address]


def _busy(what: str) -> HTTPException:
    return HTTPException(
        429, f"{what} are on their way already; wait for answers", {"retry-after": "1"}
    )
