"""Takes probes and requests for streams out of the way that all others go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from streaming.checks import Report
from streaming.gauges import DatabaseGauges
from streaming.handler import StreamHandler
from streaming.probes import Answer, Asked, answer
from streaming.process import get_streaming

Application = Callable[..., Awaitable[Any]]
STREAM_PATH = "/api/v1/executions/stream"


def is_for_stream(scope: dict[str, Any]) -> bool:
    return bool(scope["type"] == "http" and _path(scope).rstrip("/") == STREAM_PATH)


def with_streams(application: Application) -> Application:
    """Return the application, with streams served by a handler of their own."""
    streams = StreamHandler()

    async def route(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await (streams if is_for_stream(scope) else application)(scope, receive, send)

    return route


class _Web:
    async def report(self) -> Report:
        return await (await get_streaming()).health.report()

    async def gauges(self) -> DatabaseGauges:
        return (await get_streaming()).hub.gauges


def with_probes(application: Application) -> Application:
    """Return the application, with probes answered before it."""
    process = _Web()

    async def route(scope: dict[str, Any], receive: Any, send: Any) -> None:
        found = await answer(_asked(scope), process) if scope["type"] == "http" else None
        if found is None:
            await application(scope, receive, send)
        else:
            await _send(found, scope["method"], send)

    return route


def _path(scope: dict[str, Any]) -> str:
    """Return the path below the prefix that the application is mounted at."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path") or "")


def _asked(scope: dict[str, Any]) -> Asked:
    headers = {name.decode("latin1").lower(): v.decode("latin1") for name, v in scope["headers"]}
    client = str((scope.get("client") or ("",))[0] or "")
    return Asked(scope["method"], _path(scope), headers, client)


async def _send(found: Answer, method: str, send: Any) -> None:
    headers = {
        **found.headers,
        "Content-Length": str(len(found.body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": found.status, "headers": encoded})
    body = found.body if method != "HEAD" else b""
    await send({"type": "http.response.body", "body": body})
