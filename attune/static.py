"""Static files by WhiteNoise, beside Django and not through its middleware.

WhiteNoise's middleware is synchronous: it would send every stream through a thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from asgiref.wsgi import WsgiToAsgi
from django.conf import settings
from django.contrib.staticfiles.finders import AppDirectoriesFinder
from whitenoise import WhiteNoise

AsgiApplication = Callable[..., Awaitable[Any]]

MAX_AGE_SECONDS = 600  # the names carry no hash, so a new version has to get through


def static_files(application: AsgiApplication) -> AsgiApplication:
    """Return an ASGI application that answers STATIC_URL from every app's `static` folder."""
    prefix = str(settings.STATIC_URL)
    files = WhiteNoise(_not_found, max_age=MAX_AGE_SECONDS, add_headers_function=_add_headers)
    for storage in AppDirectoriesFinder().storages.values():
        files.add_files(storage.location, prefix=prefix)
    static = WsgiToAsgi(files)  # type: ignore[no-untyped-call]

    async def route(scope: dict[str, Any], receive: Any, send: Any) -> None:
        is_static = scope["type"] == "http" and scope["path"].startswith(prefix)
        await (static if is_static else application)(scope, receive, send)

    return route


def _add_headers(headers: Any, path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"


def _not_found(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"no such file\n"]
