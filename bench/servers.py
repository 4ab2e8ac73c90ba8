"""What every server under test can do, ours and the peers', and the payload they all send."""

from __future__ import annotations

from typing import Protocol

# An event of ours, as long as ours are: every server sends the same bytes of data.
_PAYLOAD = (
    b'{"entity_type":"execution","entity_id":%d,"timestamp":"2026-01-19T05:02:14.188288+00:00",'
    b'"seq":%d,"version":%d,"op":"UPDATE","old_status":"running","data":{"id":%d,'
    b'"status":"running","action_id":null,"action_ref":"bench.fanout","parent":null,'
    b'"enforcement":null,"executor":null,"result":{"t": %d},'
    b'"created":"2026-01-19T05:02:13.982769+00:00","updated":"2026-01-19T05:02:14.188288+00:00",'
    b'"started":"2026-01-19T05:02:13.982769+00:00","finished":null}}'
)


class Server(Protocol):
    """A running server with streams, and a way to make changes that they carry."""

    @property
    def name(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def first_event(self) -> str | None:
        """The event that opens a stream; None: the head of the response does."""

    @property
    def pids(self) -> list[int]:
        """The processes whose CPU and memory are the server's: those that hold the streams."""

    def request(self, query: str = "", *, cursor: str | None = None) -> bytes:
        """Return the HTTP request of a stream."""

    def publish(self, due: int, changes: int) -> None:
        """Make so many changes now that were `due`, in ns of CLOCK_MONOTONIC."""


def payload(seq: int, due: int) -> bytes:
    """Return the data of a peer's event. Pure."""
    execution = seq % 1000 + 1
    return _PAYLOAD % (execution, seq, seq, execution, due)


def get(path: str, *, port: int, headers: dict[str, str] | None = None) -> bytes:
    """Return the bytes of a GET for a stream. Pure."""
    lines = {"Host": f"127.0.0.1:{port}", "Accept": "text/event-stream", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
