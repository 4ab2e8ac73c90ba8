"""What log lines are not to hold: tickets and tokens of URLs, and tracebacks that anybody can make.

Both web servers write their access log when the response is sent, from objects that the
application can reach.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote_to_bytes

AsgiApplication = Callable[..., Awaitable[Any]]

HIDDEN = b"[hidden]"
_NAMES = frozenset({b"ticket", b"token", b"access_token", b"access", b"refresh", b"jwt"})
_BEGINNINGS = (b"eyJ", b"attune_")  # of JWT and machine tokens, whatever they are called


def hide_secrets(application: AsgiApplication) -> AsgiApplication:
    """Return the application, which still sees the query that its server forgets."""

    async def route(scope: dict[str, Any], receive: Any, send: Any) -> None:
        query = scope.get("query_string", b"")
        hidden = hide(query)
        if hidden != query:
            seen = dict(scope)
            scope["query_string"] = hidden  # uvicorn logs the query of its scope
            _hide_from_daphne(send, hidden)
            scope = seen
        await application(scope, receive, send)

    return route


def hide(query: bytes) -> bytes:
    """Return the query with what may be a secret blotted out."""
    return b"&".join(_hidden(part) for part in query.split(b"&")) if query else query


def _hidden(part: bytes) -> bytes:
    name, _, value = part.partition(b"=")
    is_secret = unquote_to_bytes(name).strip(b"+ ").lower() in _NAMES
    if is_secret or unquote_to_bytes(value).startswith(_BEGINNINGS):
        return name + b"=" + HIDDEN
    return part


def _hide_from_daphne(send: Any, query: bytes) -> None:
    request = send.args[0] if isinstance(send, functools.partial) and send.args else None
    if request is not None and hasattr(request, "uri"):
        request.uri = request.uri.partition(b"?")[0] + b"?" + query


def without_traceback(record: logging.LogRecord) -> bool:
    """A logging filter: the line is enough where it is the client that is wrong."""
    record.exc_info = None
    return True
