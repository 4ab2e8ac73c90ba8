"""The query string of a stream, parsed strictly. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from executions.filters import Filter
from executions.positions import MAX_BIGINT
from executions.status import STATUSES

MAX_EXECUTION_IDS = 200
MAX_VALUES = 50
MAX_VALUE_CHARACTERS = 255

_PACK = re.compile(r"[a-z][a-z0-9_-]*", re.ASCII)


class FilterError(ValueError):
    """A parameter the stream does not know, or a value it does not take; names it."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A parsed query string.

    `last_event_id` is the cursor, where one was given here. `until_terminal`: end the stream
    once everything it watches has ended.
    """

    filter: Filter
    last_event_id: str | None = None
    snapshot: bool = False
    until_terminal: bool = False


def parse(query: Mapping[str, Sequence[str]]) -> StreamRequest:
    """Parse the query of a stream, given as every value of every name.

    Raises FilterError naming the first unknown parameter or wrong value.
    """
    for name in query:
        if name not in PARAMETERS:
            known = ", ".join(sorted(PARAMETERS))
            raise FilterError(f"unknown parameter {_shown(name)}; known are: {known}")
    request = StreamRequest(
        filter=Filter(
            executions=frozenset(_integers("execution_id", query, most=MAX_EXECUTION_IDS)),
            statuses=frozenset(_statuses(query)),
            action_refs=frozenset(_texts("action_ref", query)),
            packs=frozenset(_packs(query)),
            parents=frozenset(_integers("parent", query, most=MAX_VALUES)),
            roots=frozenset(_integers("root", query, most=MAX_VALUES)),
        ),
        last_event_id=_single("last_event_id", query),
        snapshot=_choice("snapshot", query, {"true": True, "false": False}),
        until_terminal=_choice("until", query, {"terminal": True}),
    )
    if request.until_terminal and not (request.filter.executions or request.filter.roots):
        raise FilterError("until: needs execution_id or root, so that there is an end to wait for")
    return request


PARAMETERS = frozenset(
    {
        *("execution_id", "status", "action_ref", "pack", "parent", "root"),
        *("snapshot", "until", "last_event_id"),
    }
)


def _single(name: str, query: Mapping[str, Sequence[str]]) -> str | None:
    values = query.get(name, ())
    if len(values) > 1:
        raise FilterError(f"{name}: give it once")
    return values[0] if values else None


def _choice(name: str, query: Mapping[str, Sequence[str]], choices: Mapping[str, bool]) -> bool:
    value = _single(name, query)
    if value is not None and value not in choices:
        raise FilterError(f"{name}: {_shown(value)} is unknown; valid are: {', '.join(choices)}")
    return choices[value] if value is not None else False


def _texts(name: str, query: Mapping[str, Sequence[str]], *, most: int = MAX_VALUES) -> list[str]:
    """Return the values of `name`, repeated or comma-separated."""
    values = [part.strip() for value in query.get(name, ()) for part in value.split(",")]
    if len(values) > most:
        raise FilterError(f"{name}: {len(values)} values; at most {most} are taken")
    for value in values:
        if not value:
            raise FilterError(f"{name}: a value is empty")
        if len(value) > MAX_VALUE_CHARACTERS:
            raise FilterError(f"{name}: a value is over {MAX_VALUE_CHARACTERS} characters")
    return values


def _integers(name: str, query: Mapping[str, Sequence[str]], *, most: int) -> Iterable[int]:
    for value in _texts(name, query, most=most):
        # Not int(): that takes signs, blanks, underscores and other scripts' digits.
        number = int(value) if value.isascii() and value.isdigit() else 0
        if not 1 <= number <= MAX_BIGINT:
            raise FilterError(f"{name}: {_shown(value)} is not an id; use 1 to {MAX_BIGINT}")
        yield number


def _statuses(query: Mapping[str, Sequence[str]]) -> Iterable[str]:
    for value in _texts("status", query):
        if value not in STATUSES:
            raise FilterError(
                f"status: {_shown(value)} is unknown; valid are: {', '.join(STATUSES)}"
            )
        yield value


def _packs(query: Mapping[str, Sequence[str]]) -> Iterable[str]:
    for value in _texts("pack", query):
        if _PACK.fullmatch(value) is None:
            raise FilterError(f"pack: {_shown(value)} is not the ref of a pack")
        yield value


def _shown(value: str) -> str:
    """Quote what the client sent, cut short: it goes back in an error message."""
    return repr(value if len(value) <= 64 else value[:61] + "...")
