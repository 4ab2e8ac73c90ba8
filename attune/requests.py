"""Each request by a name: its client's X-Request-ID, or one of ours, in answer and log."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from attune import logs

AsgiApplication = Callable[..., Awaitable[Any]]

logger = logging.getLogger("attune.request")

HEADER = b"x-request-id"
SCOPE_KEY = "attune.request"
# Long enough for a UUID or a trace id, too short for a token of ours, and nothing to quote.
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
QUIET = ("/healthz", "/readyz", "/metrics", "/static/")


class Request:
    """What becomes of a request; whoever answers by itself says the status here."""

    def __init__(self, given: bytes | None) -> None:
        known = given is not None and _WELL_FORMED.fullmatch(given)
        self.id: str = given.decode() if known and given else uuid.uuid4().hex
        self.status = 0

    @property
    def header(self) -> tuple[bytes, bytes]:
        return HEADER, self.id.encode()


def with_request_ids(
    application: AsgiApplication, *, answers_itself: Callable[[Any], bool]
) -> AsgiApplication:
    """Return the application, whose answers carry the id, and which logs each request.

    `answers_itself`: of a scope, whether its `send` has to be the server's own. There the
    application takes care of `scope[SCOPE_KEY]`.
    """

    async def route(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        request = scope[SCOPE_KEY] = Request(dict(scope["headers"]).get(HEADER))
        logs.begin(request=request.id)
        began = time.monotonic()
        try:
            is_own = answers_itself(scope)
            await application(scope, receive, send if is_own else _naming(request, send))
        finally:
            _log(scope, request, time.monotonic() - began)

    return route


def _naming(request: Request, send: Any) -> Any:
    async def answer(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            request.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), request.header]}
        await send(message)

    return answer


def _log(scope: dict[str, Any], request: Request, seconds: float) -> None:
    path = scope["path"]
    logger.log(
        logging.DEBUG if path.startswith(QUIET) else logging.INFO,
        "action=request method=%s path=%s status=%d seconds=%.3f",
        quote(scope["method"]),
        quote(path),
        request.status,
        seconds,
    )
