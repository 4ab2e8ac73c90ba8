"""Django's ASGI handler, less what a stream neither needs nor can afford.

Django's own runs each middleware's hooks in a thread, gives each request a thread of its own,
and keeps request, thread and two more tasks until the response has been sent: for a stream,
for hours. Here the view runs, its request is let go of, and what remains is the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

from corsheaders.middleware import CorsMiddleware
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import set_script_prefix

from attune import requests
from attune.requests import Request
from streaming.connection import SCOPE_KEY, open_connection
from streaming.stream import Stream

HELD_KEY = "attune.held"  # an ExitStack: what ends with the request, however that ends

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
GetResponse = Callable[[HttpRequest], Awaitable[HttpResponse]]


class StreamResponse(HttpResponse):
    """The head of a response whose body is a stream."""

    def __init__(self, stream: Stream, *, headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        self.stream = stream


class StreamHandler(ASGIHandler):
    """Serves one path, with a view that answers a `StreamResponse` or any other."""

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        view: Any = convert_exception_to_response(self._get_response_async)  # type: ignore[attr-defined]
        self._middleware_chain: Any = convert_exception_to_response(_checked(view))

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        connection = open_connection(send)
        with contextlib.closing(connection), contextlib.ExitStack() as held:
            more = {SCOPE_KEY: connection, HELD_KEY: held}
            await self.handle({**scope, **more}, receive, connection.send)

    async def handle(self, scope: Any, receive: Receive, send: Send) -> None:
        set_script_prefix(get_script_prefix(scope))
        request, refused = self.create_request(scope, BytesIO())
        response: Any = refused if request is None else await self.get_response_async(request)
        stream = response.stream if isinstance(response, StreamResponse) else None
        await send(_head(response, scope))
        if stream is None:
            await send({"type": "http.response.body", "body": response.content})
        # No signal `request_finished`: its receivers only close the connections of a thread
        # that this request does not have.
        del request, refused, response, scope
        if stream is not None:
            await _write(stream, receive, send)


def _checked(get_response: GetResponse) -> GetResponse:
    """Wrap it in those middlewares that only compute, and so need no thread."""
    security = SecurityMiddleware(lambda request: HttpResponse())
    cors = CorsMiddleware(lambda request: HttpResponse())
    framing = XFrameOptionsMiddleware(lambda request: HttpResponse())

    async def run(request: HttpRequest) -> Any:
        request.get_host()  # refuses hosts that are not ours
        preflight = cors.check_preflight(request) or security.process_request(request)
        response: Any = preflight or await get_response(request)
        response = framing.process_response(request, security.process_response(request, response))
        cors.add_response_headers(request, response)
        return response

    return run


def _head(response: HttpResponse, scope: Any) -> dict[str, Any]:
    headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    headers += [
        (b"Set-Cookie", cookie.output(header="").strip().encode("ascii"))
        for cookie in response.cookies.values()
    ]
    named: Request = scope[requests.SCOPE_KEY]
    named.status = response.status_code
    headers.append(named.header)
    return {"type": "http.response.start", "status": response.status_code, "headers": headers}


async def _write(stream: Stream, receive: Receive, send: Send) -> None:
    """Write the stream until it is over or the client has gone."""
    gone = asyncio.create_task(_until_gone(receive), name="stream.gone")
    writing = asyncio.create_task(_write_all(stream, send), name="stream.write")
    try:
        await asyncio.wait((gone, writing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (gone, writing):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write_all(stream: Stream, send: Send) -> None:
    async with contextlib.aclosing(stream.chunks()) as chunks:
        async for data in chunks:
            await send({"type": "http.response.body", "body": data, "more_body": True})
            data = b""  # not to be held until the next one
    await send({"type": "http.response.body"})
