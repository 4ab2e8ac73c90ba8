"""How the admin writes a status, a time, a run time and JSON. Pure: no clock, no database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from executions.durations import duration
from executions.status import Status

NOTHING = "-"
# More than anybody reads, and little enough that every browser shows it.
JSON_MAX_CHARS = 500_000
_INDENT = "  "
# Deeper levels are not indented further: 10,000 nested brackets would become 200 MB.
_INDENT_MAX_LEVELS = 16

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def badge(status: str) -> SafeString:
    return format_html(
        '<span class="attune-status attune-status-{}">{}</span>', status.lower(), status
    )


def moment(instant: datetime | None) -> str:
    """Return the time to the second: the admin's own format stops at the minute."""
    return NOTHING if instant is None else f"{localtime(instant):%Y-%m-%d %H:%M:%S}"


def run_time(
    status: str, *, started: datetime | None, finished: datetime | None, now: datetime
) -> str:
    """Return how long a run took or, while it runs, has taken until `now`."""
    if started is not None and finished is not None:
        return duration(finished - started)
    # Not for one that is to run again, which still has the start of its first run.
    if started is not None and status in (Status.RUNNING, Status.CANCELING):
        return f"{duration(now - started)} so far"
    return NOTHING


def json_block(text: str | None, *, chars: int | None = None) -> str:
    """Return JSON text as an indented `<pre>`, cut after JSON_MAX_CHARS characters.

    `chars` is the length of the whole, where `text` is only its beginning.
    """
    if text is None:
        return NOTHING
    chars = len(text) if chars is None else chars
    block = format_html(
        '<pre class="attune-json" tabindex="0">{}</pre>', indented(text[:JSON_MAX_CHARS])
    )
    if chars <= JSON_MAX_CHARS:
        return block
    return format_html(
        '{}<p class="help">Cut: these are the first {} of {} characters.</p>',
        block,
        f"{JSON_MAX_CHARS:,}",
        f"{chars:,}",
    )


def indented(text: str) -> str:
    """Return JSON text with line breaks and indentation; a cut text up to its end.

    Works on the text, because parsing fails on a deep one, a cut one and some numbers,
    and would show something else than what is stored.
    """
    return "".join(_pieces(_TOKEN.findall(text)))


def _pieces(tokens: list[str]) -> Iterator[str]:
    level = 0
    before = ""
    for token in tokens:
        closing = token in ("}", "]")
        level -= closing
        # A line for each item and for the end, unless there is nothing between the brackets.
        if before == "," or (before in ("{", "[")) != closing:
            yield _line_break(level)
        elif before == ":":
            yield " "
        yield token
        level += token in ("{", "[")
        before = token


def _line_break(level: int) -> str:
    return "\n" + _INDENT * min(level, _INDENT_MAX_LEVELS)
