"""Server-Sent Events as bytes. Pure: values in, frames out.

Source: WHATWG HTML, "Server-sent events", §9.2.6: a field ends at CR, LF or CRLF; an `id`
that contains NUL is ignored by clients; an event without `data` is not dispatched, but its
`id` still moves the client's cursor.
"""

from __future__ import annotations

import re

_LINE_END = re.compile(r"\r\n|\r|\n")


class FieldError(ValueError):
    """An id or event name would break out of its field."""


def event(
    data: str,
    *,
    id: str | None = None,
    name: str | None = None,
    retry_milliseconds: int | None = None,
) -> bytes:
    """Encode one event; `data` may hold any text, line ends included.

    Raises FieldError where `id` or `name` holds CR, LF or NUL.
    """
    lines = [f"retry: {retry_milliseconds}"] if retry_milliseconds is not None else []
    if id is not None:
        lines.append(f"id: {_field(id)}")
    if name is not None:
        lines.append(f"event: {_field(name)}")
    if "\n" in data or "\r" in data:
        lines += (f"data: {line}" for line in _LINE_END.split(data))
    else:  # as all JSON: ten times as fast
        lines.append(f"data: {data}")
    return _block(lines)


def heartbeat(*, id: str | None = None) -> bytes:
    """Encode a comment that keeps the connection open; `id` moves the cursor silently."""
    return _block([f"id: {_field(id)}", ": heartbeat"] if id is not None else [": heartbeat"])


def _field(value: str) -> str:
    if "\r" in value or "\n" in value or "\0" in value:
        raise FieldError(f"an SSE id or event name cannot hold CR, LF or NUL: {value!r}")
    return value


def _block(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n\n").encode()
