"""Query parameters, parsed strictly; those that choose executions, for lists and streams. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from executions.filters import Filter
from executions.positions import MAX_BIGINT
from executions.status import STATUSES

MAX_EXECUTION_IDS = 200
MAX_VALUES = 50
MAX_VALUE_CHARACTERS = 255

# What lists, statistics and streams have in common.
FILTERS = ("execution_id", "status", "action_ref", "pack", "parent", "root")

Query = Mapping[str, Sequence[str]]  # every value of every name
T = TypeVar("T")

_PACK = re.compile(r"[a-z][a-z0-9_-]*", re.ASCII)


class ParameterError(ValueError):
    """A parameter that is not known, or a value that is not taken; the text names it."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = _cut(name)
        self.reason = reason
        super().__init__(f"{self.name}: {reason}")


def check_names(query: Query, known: Iterable[str]) -> None:
    """Raise ParameterError for the first name that is not known."""
    valid = sorted(known)
    for name in query:
        if name not in valid:
            listed = f"known are: {', '.join(valid)}" if valid else "none is taken here"
            raise ParameterError(name, f"unknown parameter; {listed}")


def parse_filter(query: Query) -> Filter:
    """Return which executions a query asks for; raises ParameterError."""
    return Filter(
        executions=frozenset(ids("execution_id", query, most=MAX_EXECUTION_IDS)),
        statuses=frozenset(_statuses(query)),
        action_refs=frozenset(texts("action_ref", query)),
        packs=frozenset(packs("pack", query)),
        parents=frozenset(ids("parent", query)),
        roots=frozenset(ids("root", query)),
    )


def single(name: str, query: Query) -> str | None:
    """Return the value of a parameter that may be given once."""
    values = query.get(name, ())
    if len(values) > 1:
        raise ParameterError(name, "give it once")
    return values[0] if values else None


def choice(name: str, query: Query, choices: Mapping[str, T], *, default: T) -> T:
    value = single(name, query)
    if value is not None and value not in choices:
        raise ParameterError(name, f"{shown(value)} is unknown; valid are: {', '.join(choices)}")
    return choices[value] if value is not None else default


def integer(name: str, query: Query, *, low: int, high: int, default: int) -> int:
    value = single(name, query)
    number = default if value is None else _digits(value)
    if number is None or not low <= number <= high:
        raise ParameterError(name, f"{shown(value or '')} is not a number from {low} to {high}")
    return number


def moment(name: str, query: Query) -> datetime | None:
    """Return an ISO 8601 date or time; UTC where it has no offset."""
    value = single(name, query)
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        hint = "; write + as %2B" if " " in value else ""
        raise ParameterError(
            name, f"{shown(value)} is no time; use ISO 8601, such as 2026-01-19T05:02:14Z{hint}"
        ) from exc


def texts(name: str, query: Query, *, most: int = MAX_VALUES) -> list[str]:
    """Return the values of `name`, repeated or comma-separated."""
    values = [part.strip() for value in query.get(name, ()) for part in value.split(",")]
    if len(values) > most:
        raise ParameterError(name, f"{len(values)} values; at most {most} are taken")
    for value in values:
        if not value:
            raise ParameterError(name, "a value is empty")
        if len(value) > MAX_VALUE_CHARACTERS:
            raise ParameterError(name, f"a value is over {MAX_VALUE_CHARACTERS} characters")
        if "\0" in value:
            raise ParameterError(name, "a value has a NUL character")  # which no row can have
    return values


def ids(name: str, query: Query, *, most: int = MAX_VALUES) -> list[int]:
    return _each(name, texts(name, query, most=most), _digits, f"an id; use 1 to {MAX_BIGINT}")


def packs(name: str, query: Query) -> list[str]:
    return _each(name, texts(name, query), _pack, "the ref of a pack")


def shown(value: str) -> str:
    """Quote what the client sent, cut short: it goes back in an error message."""
    return repr(_cut(value))


def _cut(value: str) -> str:
    return value if len(value) <= 64 else value[:61] + "..."


def _statuses(query: Query) -> Iterable[str]:
    for value in texts("status", query):
        if value not in STATUSES:
            valid = ", ".join(STATUSES)
            raise ParameterError("status", f"{shown(value)} is unknown; valid are: {valid}")
        yield value


def _each(name: str, values: Iterable[str], parse: Callable[[str], T | None], what: str) -> list[T]:
    parsed = []
    for value in values:
        if not (item := parse(value)):
            raise ParameterError(name, f"{shown(value)} is not {what}")
        parsed.append(item)
    return parsed


def _digits(value: str) -> int | None:
    # Not int() alone: that takes signs, blanks, underscores and other scripts' digits.
    if not (value.isascii() and value.isdigit()) or len(value) > MAX_VALUE_CHARACTERS:
        return None
    return int(value) if int(value) <= MAX_BIGINT else None


def _pack(value: str) -> str | None:
    return value if _PACK.fullmatch(value) else None
