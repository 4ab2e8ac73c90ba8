"""Which executions somebody asked for: as a test on an event, and as conditions in SQL. Pure.

Both say the same; `tests/integration/test_filters.py` holds one against the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from psycopg import sql

from executions.eventlog import Event


@dataclass(frozen=True, slots=True)
class Filter:
    """Which executions, and their events. Empty sets do not restrict.

    `roots`: an execution and its descendants. Hashable: streams that ask for the same share
    one feed.
    """

    executions: frozenset[int] = frozenset()
    statuses: frozenset[str] = frozenset()
    action_refs: frozenset[str] = frozenset()
    packs: frozenset[str] = frozenset()
    parents: frozenset[int] = frozenset()
    roots: frozenset[int] = frozenset()
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
            and (
                not self.roots
                or event.execution in self.roots
                or not self.roots.isdisjoint(event.ancestors or ())
            )
            and (not self.action_refs or self._matches_ref(event.action_ref))
        )

    def hiding(self, packs: frozenset[str]) -> Filter:
        """Return this filter for somebody who may not see executions of `packs`."""
        return replace(self, hidden_packs=packs)

    def _matches_ref(self, ref: str) -> bool:
        return ref in self.action_refs or any(p.fullmatch(ref) for p in self._patterns)


@dataclass(frozen=True, slots=True)
class Where:
    """A condition in SQL, and the values of its named placeholders."""

    condition: sql.Composable
    values: dict[str, object]


def log_where(filter: Filter) -> Where:
    """Return the condition on rows of `attune.execution_event` that `matches` tests."""
    parts, values = _common(filter)
    if filter.executions:
        parts.append(sql.SQL("execution = ANY (%(executions)s)"))
    if filter.statuses:
        parts.append(sql.SQL("(status = ANY (%(statuses)s) OR old_status = ANY (%(statuses)s))"))
    if filter.roots:
        parts.append(sql.SQL("(execution = ANY (%(roots)s) OR ancestors && %(roots)s::bigint[])"))
    return Where(sql.SQL(" AND ").join(parts), values)


def table_where(filter: Filter) -> Where:
    """Return the same for rows of `attune.execution`, as they are now."""
    parts, values = _common(filter)
    if filter.executions:
        parts.append(sql.SQL("id = ANY (%(executions)s)"))
    if filter.statuses:
        parts.append(_one_of(sql.SQL("status"), filter.statuses))
    if filter.roots:
        # ARRAY: found first, whatever else is asked for; the planner cannot guess its size.
        parts.append(
            sql.SQL(
                "id = ANY (ARRAY(WITH RECURSIVE down AS (SELECT unnest(%(roots)s::bigint[]) AS id"
                " UNION SELECT child.id FROM attune.execution child"
                " JOIN down ON child.parent = down.id) SELECT id FROM down))"
            )
        )
    return Where(sql.SQL(" AND ").join(parts), values)


def _common(filter: Filter) -> tuple[list[sql.Composable], dict[str, object]]:
    """Return the conditions on columns that both tables have."""
    parts: list[sql.Composable] = [sql.SQL("true")]
    if filter.parents:
        parts.append(sql.SQL("parent = ANY (%(parents)s)"))
    if filter.packs:
        parts.append(_one_of(_PACK, filter.packs))
    if filter.action_refs:
        parts.append(_any_ref(filter.action_refs))
        if packs := _implied_packs(filter.action_refs):
            parts.append(_one_of(_PACK, packs))
    if filter.hidden_packs:
        parts.append(sql.SQL("NOT ({})").format(_one_of(_PACK, filter.hidden_packs)))
    names = ("executions", "statuses", "parents", "roots")
    return parts, {name: sorted(getattr(filter, name)) for name in names}


# As the index `execution_pack` has it.
_PACK = sql.SQL("split_part(action_ref, '.', 1)")


def _any_ref(refs: Iterable[str]) -> sql.Composable:
    exact = [ref for ref in refs if "*" not in ref]
    parts: list[sql.Composable] = [
        sql.SQL("action_ref LIKE {}").format(_escaped(_like(ref).replace("*", "%")))
        for ref in sorted(refs)
        if "*" in ref
    ]
    if exact:
        parts.append(_one_of(sql.SQL("action_ref"), exact))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts))


def _one_of(column: sql.Composable, values: Iterable[str]) -> sql.Composable:
    """Literals, not values: only what the planner sees can use the index.

    An equality for a single value: only that comes out of the index in the order of ids.
    """
    listed = sorted(values)
    if len(listed) == 1:
        return sql.SQL("{} = {}").format(column, _escaped(listed[0]))
    return sql.SQL("{} = ANY (ARRAY[{}])").format(column, sql.SQL(", ").join(map(_escaped, listed)))


def _escaped(text: str) -> sql.Literal:
    """The query it goes into has placeholders, so a percent sign is written twice."""
    return sql.Literal(text.replace("%", "%%"))


def _implied_packs(refs: Iterable[str]) -> set[str]:
    """Return the packs that all these refs name, or nothing where one leaves it open."""
    starts = [ref.partition("*")[0] for ref in refs]
    if not all("." in start for start in starts):
        return set()
    return {start.partition(".")[0] for start in starts}


def _like(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _glob(pattern: str) -> str:
    return ".*".join(re.escape(part) for part in pattern.split("*"))
