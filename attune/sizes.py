"""Refuses what is too large, or does not come, before anything reads or keeps it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from attune.limits import Limits
from executions.errors import Code, body

AsgiApplication = Callable[..., Awaitable[Any]]
Refusal = tuple[int, str]


def bounded_heads(application: AsgiApplication, limits: Limits) -> AsgiApplication:
    """Return the application, which sees no URL and no headers over the limits."""

    async def route(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})  # before it is accepted: 403
            return
        refusal = _refuse_head(scope, limits) if scope["type"] == "http" else None
        if refusal is not None:
            await _answer(send, refusal)
        else:
            await application(scope, receive, send)

    return route


def bounded_bodies(application: AsgiApplication, limits: Limits) -> AsgiApplication:
    """Return the application, which sees no body over the limit, and waits for none for ever."""

    async def route(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        body = _Body(receive, limits)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > limits.body_bytes:
            body.refusal = _too_large(limits)
        else:
            await application(scope, body.receive, send)
        if body.refusal is not None:
            await _answer(send, body.refusal)

    return route


class _Body:
    """A request's body as it comes in. Where it is refused, the client seems to have gone."""

    def __init__(self, receive: Any, limits: Limits) -> None:
        self.refusal: Refusal | None = None
        self._receive = receive
        self._limits = limits
        self._bytes = 0
        self._complete = False
        self._deadline = asyncio.get_running_loop().time() + limits.request_seconds

    async def receive(self) -> Any:
        if self._complete:
            return await self._receive()  # when the client has gone
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._complete = True
            self.refusal = 408, f"No whole request within {self._limits.request_seconds:g} s."
            return {"type": "http.disconnect"}
        self._bytes += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._bytes > self._limits.body_bytes:
            self._complete = True
            self.refusal = _too_large(self._limits)
            return {"type": "http.disconnect"}
        return message


def _refuse_head(scope: dict[str, Any], limits: Limits) -> Refusal | None:
    if len(scope["path"]) + len(scope["query_string"]) > limits.url_bytes:
        return 414, f"The URL is too long; at most {limits.url_bytes} bytes."
    if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.header_bytes:
        return 431, f"The headers are too large; at most {limits.header_bytes} bytes."
    return None


def _too_large(limits: Limits) -> Refusal:
    return 413, f"The body is too large; at most {limits.body_bytes} bytes."


async def _answer(send: Any, refusal: Refusal) -> None:
    status, detail = refusal
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    code = Code.ERROR if status == 408 else Code.TOO_LARGE
    content = json.dumps(body(detail, code)).encode()
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
