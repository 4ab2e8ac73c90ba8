"""HTTP/1.1 and Server-Sent Events as bytes from a socket, taken apart piece by piece. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


class WireError(ValueError):
    """The server sent what is not HTTP or not an event stream."""


class Chunked:
    """Takes the chunk sizes of a body away (RFC 9112, 7.1)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """Return the body's bytes of the chunks that are whole by now."""
        self._buffer += data
        parts: list[bytes] = []
        while not self.ended:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                break
            try:
                size = int(bytes(self._buffer[:end]).partition(b";")[0], 16)
            except ValueError as exc:
                raise WireError(f"no chunk size: {bytes(self._buffer[:40])!r}") from exc
            if len(self._buffer) < end + 2 + size + 2:
                break
            parts.append(bytes(self._buffer[end + 2 : end + 2 + size]))
            del self._buffer[: end + 2 + size + 2]
            self.ended = size == 0
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Frame:
    """One block of the stream; without `data` nothing is dispatched, but the id counts."""

    id: str | None = None
    event: str | None = None
    data: str | None = None
    retry: int | None = None


class Frames:
    """Cuts the body at empty lines. What is cut off with the connection is no frame."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            yield _frame(block.decode())


def _frame(block: str) -> Frame:
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        fields[name] = f"{fields[name]}\n{value}" if name == "data" in fields else value
    retry = fields.get("retry")
    return Frame(
        id=fields.get("id"),
        event=fields.get("event"),
        data=fields.get("data"),
        retry=int(retry) if retry is not None else None,
    )


def status_and_headers(head: bytes) -> tuple[int, dict[str, str]]:
    """Return the status and the headers, their names in lower case."""
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        status = int(first.split(" ")[1])
    except (IndexError, ValueError) as exc:
        raise WireError(f"no status line: {first!r}") from exc
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return status, {name.lower(): value.strip() for name, value in pairs}
