"""Takes the requests for streams out of the way that all others go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from streaming.handler import StreamHandler

Application = Callable[..., Awaitable[Any]]
STREAM_PATH = "/api/v1/executions/stream"


def with_streams(application: Application) -> Application:
    """Return the application, with streams served by a handler of their own."""
    streams = StreamHandler()

    async def route(scope: dict[str, Any], receive: Any, send: Any) -> None:
        # By its end: the application may be mounted below a prefix.
        is_stream = scope["type"] == "http" and scope["path"].rstrip("/").endswith(STREAM_PATH)
        await (streams if is_stream else application)(scope, receive, send)

    return route
