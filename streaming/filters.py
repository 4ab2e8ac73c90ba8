"""What a client asked for, parsed strictly, and whether an event is part of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from executions.eventlog import MAX_BIGINT, Event
from executions.status import STATUSES

MAX_EXECUTION_IDS = 200
MAX_VALUES = 50
MAX_VALUE_CHARACTERS = 255

_PACK = re.compile(r"[a-z][a-z0-9_-]*", re.ASCII)


class FilterError(ValueError):
    """A parameter the stream does not know, or a value it does not take; names it."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a stream carries. Empty sets do not restrict.

    Hashable: streams that ask for the same thing share one feed.
    """

    executions: frozenset[int] = frozenset()
    statuses: frozenset[str] = frozenset()
    action_refs: frozenset[str] = frozenset()
    packs: frozenset[str] = frozenset()
    parents: frozenset[int] = frozenset()
    hidden_packs: frozenset[str] = frozenset()
    _patterns: tuple[re.Pattern[str], ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        globs = sorted(ref for ref in self.action_refs if "*" in ref)
        patterns = tuple(re.compile(_glob(ref), re.DOTALL) for ref in globs)
        object.__setattr__(self, "_patterns", patterns)

    def matches(self, event: Event) -> bool:
        """Say whether the event is visible and asked for.

        A status filter looks at the old status too: the event by which an execution leaves
        the filter is delivered, so that a list can drop the row.
        """
        pack = event.action_ref.partition(".")[0]
        return (
            pack not in self.hidden_packs
            and (not self.executions or event.execution in self.executions)
            and (
                not self.statuses
                or event.status in self.statuses
                or event.old_status in self.statuses
            )
            and (not self.packs or pack in self.packs)
            and (not self.parents or event.parent in self.parents)
            and (not self.action_refs or self._matches_ref(event.action_ref))
        )

    def hiding(self, packs: frozenset[str]) -> Filter:
        """Return this filter for somebody who may not see executions of `packs`."""
        return replace(self, hidden_packs=packs)

    def _matches_ref(self, ref: str) -> bool:
        return ref in self.action_refs or any(p.fullmatch(ref) for p in self._patterns)


def _glob(pattern: str) -> str:
    return ".*".join(re.escape(part) for part in pattern.split("*"))


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A parsed query string: the filter, and the cursor where one was given in it."""

    filter: Filter
    last_event_id: str | None = None


def parse(query: Mapping[str, Sequence[str]]) -> StreamRequest:
    """Parse the query of a stream, given as every value of every name.

    Raises FilterError naming the first unknown parameter or wrong value.
    """
    for name in query:
        if name not in PARAMETERS:
            known = ", ".join(sorted(PARAMETERS))
            raise FilterError(f"unknown parameter {_shown(name)}; known are: {known}")
    cursors = query.get("last_event_id", ())
    if len(cursors) > 1:
        raise FilterError("last_event_id: give it once")
    return StreamRequest(
        filter=Filter(
            executions=frozenset(
                _integers("execution_id", query, most=MAX_EXECUTION_IDS),
            ),
            statuses=frozenset(_statuses(query)),
            action_refs=frozenset(_texts("action_ref", query)),
            packs=frozenset(_packs(query)),
            parents=frozenset(_integers("parent", query, most=MAX_VALUES)),
        ),
        last_event_id=cursors[0] if cursors else None,
    )


PARAMETERS = frozenset({"execution_id", "status", "action_ref", "pack", "parent", "last_event_id"})


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
