"""A stream as a test reads it: real HTTP, decoded by httpx-sse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, connect_sse

# How long to wait for the next bytes: longer than anything healthy takes.
READ_SECONDS = 15.0


@dataclass
class Stream:
    """An open stream; iterating blocks until the next frame."""

    response: httpx.Response
    connected: ServerSentEvent
    frames: Iterator[ServerSentEvent]

    def next(self) -> dict[str, Any]:
        """Return the data of the next execution event; control frames fail the test."""
        frame = self.next_frame()
        assert frame.event == "message", f"unexpected {frame.event}: {frame.data}"
        data: dict[str, Any] = json.loads(frame.data)
        return data

    def next_frame(self) -> ServerSentEvent:
        """Return the next frame that is not a heartbeat."""
        return next(frame for frame in self.frames if frame.data)

    def until(self, execution: int, status: str, *, most: int = 100_000) -> list[dict[str, Any]]:
        """Return all events up to the one by which `execution` gets `status`."""
        seen = []
        for _ in range(most):
            seen.append(self.next())
            if seen[-1]["entity_id"] == execution and seen[-1]["data"]["status"] == status:
                return seen
        raise AssertionError(f"{most} events without {status} of {execution}")


@contextmanager
def open_stream(
    url: str, token: str, *, resume: str | None = None, **params: Any
) -> Iterator[Stream]:
    """Open a stream and wait until the server has said `connected`.

    `resume` is sent as the header Last-Event-ID; `params` are the query.
    """
    headers = {"Authorization": f"Bearer {token}"}
    if resume is not None:
        headers["Last-Event-ID"] = resume
    with (
        httpx.Client(timeout=READ_SECONDS) as client,
        connected_stream(client, url, headers=headers, params=params) as stream,
    ):
        yield stream


@contextmanager
def connected_stream(client: httpx.Client, url: str, **request: Any) -> Iterator[Stream]:
    """Open a stream with the client's own cookies and whatever `request` adds."""
    with connect_sse(client, "GET", url, **request) as source:
        if source.response.status_code != 200:
            source.response.read()
            raise AssertionError(f"{source.response.status_code}: {source.response.text}")
        frames = source.iter_sse()
        connected = next(frames)
        assert connected.event == "connected"
        yield Stream(source.response, connected, frames)
