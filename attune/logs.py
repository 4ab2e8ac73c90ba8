"""The lines of the log: what they look like, and on whose behalf they were written.

A message of ours is `action=… key=value …`. What was bound to the request in whose course it is
logged (`request`, `user`, `stream`, `executions`) is added to it. docs/operations.md describes both
formats.
"""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

# One dict a request, shared by all of its tasks and threads.
_fields: ContextVar[dict[str, Any] | None] = ContextVar("attune.log.fields", default=None)

EXTRA = "attune_fields"  # for what is logged on behalf of somebody, but in nobody's course
MOST_EXECUTIONS = 10  # of those that a stream names
_PAIR = re.compile(
    r"""(\w+)=('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|.*?)(?=\s+\w+=|\s*$)""", re.DOTALL
)
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")


def begin(**fields: Any) -> dict[str, Any]:
    """Begin a request: what is logged in its course gets these fields, and those to come."""
    _fields.set(fields)
    return fields


def bind(**fields: Any) -> None:
    """Add to the fields of the request in whose course this is called; outside of one, nothing."""
    bound = _fields.get()
    if bound is not None:
        bound.update(fields)


def bound() -> Mapping[str, Any]:
    """Return the fields as they are and will be; to be given as `extra={EXTRA: …}`."""
    return _fields.get() or {}


def take_over_uvicorn() -> None:
    """Let what uvicorn logs come in our format. Its levels stay, which a dictConfig would reset."""
    for name in ("uvicorn", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _bound_to(record: logging.LogRecord) -> Mapping[str, Any]:
    own: Mapping[str, Any] | None = getattr(record, EXTRA, None)
    return bound() if own is None else own


class TextFormatter(logging.Formatter):
    """One line, then the fields; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_word(value)}" for name, value in _bound_to(record).items())
        # What somebody has sent may be in it: it begins no line of its own.
        line = super().formatMessage(record) + fields
        return line.replace("\r", "\\r").replace("\n", "\\n")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, traceback and all."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line = _pairs(message) if message.startswith("action=") else {}
        if not line:
            line["message"] = message
        # Last, so that nothing in a message can pass for one of them.
        line |= {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        for name in ("request", "user", "stream", "executions"):
            line.pop(name, None)
        return json.dumps(line | dict(_bound_to(record)), ensure_ascii=False, default=str)


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _pairs(message: str) -> dict[str, Any]:
    return {name: _value(text) for name, text in _PAIR.findall(message)}


def _value(text: str) -> Any:
    if text[:1] in ("'", '"') and text[-1:] == text[:1]:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text
