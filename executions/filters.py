"""Which executions somebody asked for: as a test on an event, and as conditions in SQL. Pure.

Both say the same; `tests/integration/test_filters.py` holds one against the other.

An event concerns a list if its execution is in it, as it is or as it was before: so a list is told
what it has to drop. What may not be seen of either side is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from psycopg import sql

from executions import moves
from executions.eventlog import Event
from executions.globs import Glob


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
    _globs: tuple[Glob, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        globs = tuple(Glob(ref) for ref in sorted(self.action_refs) if "*" in ref)
        object.__setattr__(self, "_globs", globs)

    def matches(self, event: Event) -> bool:
        """Say whether the event is visible and asked for."""
        if event.old_action_ref is not None or event.old_ancestors is not None:
            return self.visible_sides(event) is not None
        return self._shows(event) and self._asks_for(event)

    def told(self, event: Event) -> Event | None:
        """Return the event as it is told here; None where it does not match.

        What is below an execution moves with it, without events of its own. So with `roots`
        everything that gets another parent is told, whatever else is asked for; where it may not
        be seen, with an empty body, which only says to the stream that the tree is another.
        """
        if not event.is_move:
            return event if self.matches(event) else None
        visible = self.visible_sides(event)
        return None if visible is None else moves.told(event, *visible)

    def hiding(self, packs: frozenset[str]) -> Filter:
        """Return this filter for somebody who may not see executions of `packs`."""
        return replace(self, hidden_packs=packs)

    @property
    def only_packs(self) -> frozenset[str]:
        """The packs that all it takes is of, or was of before; empty where it may be any."""
        if self.roots:
            return frozenset()  # what is moved into the tree is told, whatever else is asked for
        return self.packs or frozenset(_implied_packs(self.action_refs))

    def _shows(self, event: Event) -> bool:
        return not self.hidden_packs or event.action_ref.partition(".")[0] not in self.hidden_packs

    def _asks_for(self, event: Event) -> bool:
        return (
            (not self.executions or event.execution in self.executions)
            and (
                not self.statuses
                or event.status in self.statuses
                or event.old_status in self.statuses
            )
            and (not self.packs or event.action_ref.partition(".")[0] in self.packs)
            and (not self.parents or event.parent in self.parents)
            and (not self.roots or self._in_tree(event))
            and (not self.action_refs or self._matches_ref(event.action_ref))
        )

    def _in_tree(self, event: Event) -> bool:
        return event.execution in self.roots or not self.roots.isdisjoint(event.ancestors or ())

    def _matches_ref(self, ref: str) -> bool:
        return ref in self.action_refs or any(glob.matches(ref) for glob in self._globs)

    def visible_sides(self, event: Event) -> tuple[bool, bool] | None:
        """Say of a move whether what was and what is may be seen; None where it does not match."""
        in_tree = bool(self.roots) and event.old_ancestors is not None
        asks = self._in_tree if in_tree else self._asks_for
        sides = (moves.before(event), moves.after(event))
        matching = [asks(side) for side in sides]
        if not any(matching):
            return None
        before, after = (self._shows(side) for side in sides)
        if (matching[0] and before) or (matching[1] and after):
            return before, after
        return (False, False) if in_tree else None


@dataclass(frozen=True, slots=True)
class Where:
    """A condition in SQL, and the values of its named placeholders."""

    condition: sql.Composable
    values: dict[str, object]


def log_where(filter: Filter) -> Where:
    """Return the condition on rows of `attune.execution_event` that `matches` tests."""
    condition = _either_side(filter)
    if filter.executions:
        # Of one the index has the events in order; of several they would have to be sorted.
        one = "execution = (%(executions)s::bigint[])[1]"
        several = "execution = ANY (%(executions)s)"
        which = sql.SQL(one if len(filter.executions) == 1 else several)
        condition = sql.SQL("{} AND {}").format(which, condition)
    if filter.roots:
        moved = _either_side(Filter(roots=filter.roots))
        condition = sql.SQL("({} OR old_ancestors IS NOT NULL AND {})").format(condition, moved)
    return Where(condition, _values(filter))


def table_where(filter: Filter) -> Where:
    """Return the same for rows of `attune.execution`, as they are now."""
    parts = _common(filter, _NOW)
    if filter.executions:
        parts.append(sql.SQL("id = ANY (%(executions)s)"))
    if filter.statuses:
        parts.append(_one_of(_NOW.status, filter.statuses))
    if filter.roots:
        # ARRAY: found first, whatever else is asked for; the planner cannot guess its size.
        parts.append(
            sql.SQL(
                "id = ANY (ARRAY(WITH RECURSIVE down AS (SELECT unnest(%(roots)s::bigint[]) AS id"
                " UNION SELECT child.id FROM attune.execution child"
                " JOIN down ON child.parent = down.id) SELECT id FROM down))"
            )
        )
    return Where(_and(parts), _values(filter))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where a side of an event, or a row, has what is asked for."""

    status: sql.SQL
    action_ref: sql.SQL
    parent: sql.SQL
    ancestors: sql.SQL


_NOW = _Columns(sql.SQL("status"), sql.SQL("action_ref"), sql.SQL("parent"), sql.SQL("ancestors"))
_BEFORE = _Columns(
    sql.SQL("old_status"),
    sql.SQL("coalesce(old_action_ref, action_ref)"),
    sql.SQL("CASE WHEN old_ancestors IS NULL THEN parent ELSE old_parent END"),
    sql.SQL("coalesce(old_ancestors, ancestors)"),
)


def _either_side(filter: Filter) -> sql.Composable:
    """Return the condition that an execution matches as it is or as it was."""
    before = _of_side(filter, _BEFORE)
    if not filter.statuses:
        # Else it was the same, and does not have to be looked at twice.
        before.insert(0, sql.SQL("(old_action_ref IS NOT NULL OR old_ancestors IS NOT NULL)"))
    return sql.SQL("({} OR {})").format(_and(_of_side(filter, _NOW)), _and(before))


def _of_side(filter: Filter, columns: _Columns) -> list[sql.Composable]:
    """Return the conditions on an event; those first that cost least."""
    parts: list[sql.Composable] = []
    if filter.statuses:
        parts.append(sql.SQL("{} = ANY (%(statuses)s)").format(columns.status))
    if filter.roots:
        parts.append(
            sql.SQL("(execution = ANY (%(roots)s) OR {} && %(roots)s::bigint[])").format(
                columns.ancestors
            )
        )
    return parts + _common(filter, columns)


def _common(filter: Filter, columns: _Columns) -> list[sql.Composable]:
    """Return the conditions that do not depend on the table."""
    parts: list[sql.Composable] = []
    # As the index `execution_pack` has it.
    pack = sql.SQL("split_part({}, '.', 1)").format(columns.action_ref)
    if filter.parents:
        parts.append(sql.SQL("{} = ANY (%(parents)s)").format(columns.parent))
    if filter.packs:
        parts.append(_one_of(pack, filter.packs))
    if filter.action_refs:
        parts.append(_any_ref(columns.action_ref, filter.action_refs))
        if packs := _implied_packs(filter.action_refs):
            parts.append(_one_of(pack, packs))
    if filter.hidden_packs:
        parts.append(sql.SQL("NOT ({})").format(_one_of(pack, filter.hidden_packs)))
    return parts


def _values(filter: Filter) -> dict[str, object]:
    names = ("executions", "statuses", "parents", "roots")
    return {name: sorted(getattr(filter, name)) for name in names}


def _and(parts: list[sql.Composable]) -> sql.Composable:
    return sql.SQL(" AND ").join(parts or [sql.SQL("true")])


def _any_ref(column: sql.Composable, refs: Iterable[str]) -> sql.Composable:
    exact = [ref for ref in refs if "*" not in ref]
    parts: list[sql.Composable] = [
        sql.SQL("{} LIKE {}").format(column, _escaped(_like(ref).replace("*", "%")))
        for ref in sorted(refs)
        if "*" in ref
    ]
    if exact:
        parts.append(_one_of(column, exact))
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
