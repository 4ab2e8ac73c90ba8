"""Hands each stream the connection it writes to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from streaming.connection import SCOPE_KEY, open_connection

Application = Callable[..., Awaitable[Any]]
STREAM_PATH = "/api/v1/executions/stream"


def with_connection(application: Application) -> Application:
    """Return the application, with the connection in the scope of each request for a stream,
    and with a `send` that waits while the client does not take what it was sent."""

    async def run(scope: dict[str, Any], receive: Any, send: Any) -> None:
        # By its end: the application may be mounted below a prefix.
        if scope["type"] != "http" or not scope["path"].rstrip("/").endswith(STREAM_PATH):
            await application(scope, receive, send)
            return
        connection = open_connection(send)

        try:
            await application({**scope, SCOPE_KEY: connection}, receive, connection.send)
        finally:
            connection.close()

    return run
