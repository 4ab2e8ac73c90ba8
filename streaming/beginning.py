"""Where a stream begins, and what its client is told of the state before that."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from executions.eventlog import LogState
from executions.filters import Filter
from executions.positions import Position
from executions.snapshots import Bounds, Snapshot
from streaming.filters import StreamRequest
from streaming.hub import Hub
from streaming.watch import MOVED_SECONDS, Watch


class AlreadyEnded(Exception):
    """Everything this stream would wait for has ended, and its client knows."""


class TooManyToWatch(Exception):
    """There are more executions than one stream can wait for."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a stream begins, and why, where that is not where the client wanted to.

    `resumed`: it is where the client said; which knows what was before, but for `earliest`.
    """

    position: Position
    resumed: bool = False
    knows_before: bool = True
    reset_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Beginning:
    """A start, with the snapshot to send and the end to wait for, where they were asked for.

    `known`: versions that the client has by the snapshot though their events are yet to come.
    """

    start: Start
    snapshot: Snapshot | None = None
    watch: Watch | None = None
    known: dict[int, int] = field(default_factory=dict)


def start_at(cursor: str | None, state: LogState) -> Start:
    """Decide where the stream of a client with this cursor begins. Pure.

    No cursor, or `now`: at the end of the log. `earliest`: at its beginning.
    """
    if cursor is None or cursor == "now":
        return Start(state.position)
    if cursor == "earliest":
        return Start(Position(state.epoch, state.floor_seq), resumed=True, knows_before=False)
    wanted = Position.parse(cursor)
    if wanted is None:
        return Start(state.position, reset_reason="unknown_cursor")
    if wanted.epoch != state.epoch:
        return Start(state.position, reset_reason="epoch_changed")
    if wanted.seq > state.last_seq:
        return Start(state.position, reset_reason="ahead_of_log")
    if wanted.seq < state.floor_seq:
        return Start(state.position, reset_reason="history_gone")
    return Start(wanted, resumed=True)


async def begin(hub: Hub, asked: StreamRequest, filter: Filter, start: Start) -> Beginning:
    """Read what the client asked for beside events; `filter` has what it may not see.

    A resumed client has its state already and gets no snapshot. Raises LogUnavailable,
    AlreadyEnded and TooManyToWatch.
    """
    if not (asked.snapshot or asked.until_terminal):
        return Beginning(start)
    snapshot = None
    if not start.resumed:
        snapshot = await hub.log.snapshot(filter, _bounds(hub))
        if snapshot.position.epoch != hub.position.epoch:
            # Else the stream would be in another epoch than the hub, and start over at once,
            # with another snapshot, until the hub has heard of it.
            await hub.refresh()
        start = Start(snapshot.position, reset_reason=start.reset_reason)
    watch = None
    if asked.until_terminal:
        # After the snapshot: what ends in between has its event after the snapshot's position.
        watch = await watching(hub, filter, epoch=start.position.epoch)
        may_know = watch.done and start.resumed and start.knows_before
        if may_know and await _has_been_told(hub, filter, start.position.seq, watch.upto):
            raise AlreadyEnded
    if snapshot is None or not (asked.snapshot or (watch is not None and watch.done)):
        return Beginning(start, watch=watch)
    return Beginning(start, snapshot=snapshot, watch=watch, known=dict(snapshot.ahead))


async def _has_been_told(hub: Hub, filter: Filter, seq: int, upto: int) -> bool:
    """Whether nothing that matches, of whatever status, follows `seq`.

    One page of the log is looked through; if that is not enough, the stream finds out.
    """
    reading = await hub.log.read(
        after=seq, upto=upto, limit=1, max_bytes=1, filter=replace(filter, statuses=frozenset())
    )
    return not reading.page.events and reading.page.upto >= upto


async def watching(hub: Hub, filter: Filter, *, epoch: str) -> Watch:
    """Return what a client whose stream is in this epoch has to be told the end of.

    Raises LogUnavailable and TooManyToWatch.
    """
    whatever = replace(filter, statuses=frozenset())  # it has, it will end
    found = await hub.log.statuses(whatever, _bounds(hub))
    if not found.complete:
        raise TooManyToWatch
    watch = Watch(found.statuses, ahead=found.ahead, upto=found.position.seq)
    if found.leaving:
        watch.stale_at = time.monotonic() + MOVED_SECONDS
    if found.position.epoch != epoch:
        watch.stale_at = 0.0  # there will be a reset; until then nothing is known
    return watch


def _bounds(hub: Hub) -> Bounds:
    limits = hub.limits
    return Bounds(
        rows=limits.snapshot_executions,
        bytes=limits.snapshot_bytes,
        result_bytes=limits.result_max_bytes,
        watched=limits.watched_executions,
    )
