"""Static files by WhiteNoise, beside Django and not through its middleware.

WhiteNoise's middleware is synchronous: it would send every stream through a thread. Nor is it
run by asgiref's WsgiToAsgi: what that leaves in the context of a kept-alive connection makes
the next request on it fail ("CurrentThreadExecutor already quit").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import AppDirectoriesFinder
from whitenoise import WhiteNoise

AsgiApplication = Callable[..., Awaitable[Any]]
Answer = tuple[int, list[tuple[str, str]], bytes]

# The names carry no hash, and modules of two versions must not meet in one page: browsers ask
# each time, and mostly hear that nothing has changed.
MAX_AGE_SECONDS = 0
NOT_FOUND: Answer = (404, [("Content-Type", "text/plain; charset=utf-8")], b"no such file\n")


def static_files(application: AsgiApplication) -> AsgiApplication:
    """Return an ASGI application that answers STATIC_URL from every app's `static` folder."""
    prefix = str(settings.STATIC_URL)
    files = WhiteNoise(
        None,
        max_age=MAX_AGE_SECONDS,
        allow_all_origins=False,
        add_headers_function=_add_headers,
    )
    for storage in AppDirectoriesFinder().storages.values():
        files.add_files(storage.location, prefix=prefix)

    async def route(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith(prefix):
            loop = asyncio.get_running_loop()
            await _send(await loop.run_in_executor(None, _answer, files, scope), send)
        else:
            await application(scope, receive, send)

    return route


def _answer(files: WhiteNoise, scope: dict[str, Any]) -> Answer:
    file = files.files.get(scope["path"])
    if file is None:
        return NOT_FOUND
    # WhiteNoise reads headers as WSGI names them.
    headers = {
        f"HTTP_{name.decode('latin1').upper().replace('-', '_')}": value.decode("latin1")
        for name, value in scope["headers"]
    }
    response = file.get_response(scope["method"], headers)
    if response.file is None:
        return response.status, list(response.headers), b""
    with response.file as opened:
        return response.status, list(response.headers), opened.read()


def _add_headers(headers: Any, path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"


async def _send(answer: Answer, send: Any) -> None:
    status, headers, body = answer
    encoded = [(name.lower().encode("latin1"), value.encode("latin1")) for name, value in headers]
    await send({"type": "http.response.start", "status": int(status), "headers": encoded})
    await send({"type": "http.response.body", "body": body})
