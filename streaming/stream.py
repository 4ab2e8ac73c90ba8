"""One client's stream, as the bytes it is sent."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from executions.eventlog import LogState, Position
from streaming import frames, metrics, sse
from streaming.filters import Filter
from streaming.hub import Hub
from streaming.replay import LogUnavailable
from streaming.subscriber import Reset, Subscriber
from streaming.threads import release

logger = logging.getLogger("attune.stream")

# How long a stream waits before it tries the log again that it could not read.
LOG_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Start:
    """Where a stream begins, and why, where that is not where the client wanted to."""

    position: Position
    resumed: bool = False
    reset_reason: str | None = None


def start_at(cursor: str | None, state: LogState) -> Start:
    """Decide where the stream of a client with this cursor begins. Pure.

    No cursor, or `now`: at the end of the log. `earliest`: at its beginning.
    """
    if cursor is None or cursor == "now":
        return Start(state.position)
    if cursor == "earliest":
        return Start(Position(state.epoch, state.floor_seq), resumed=True)
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


async def stream(
    hub: Hub, filter: Filter, start: Start, *, expires_at: datetime
) -> AsyncIterator[bytes]:
    """Yield the stream until the credential ends; closing the generator frees everything."""
    ends = time.monotonic() + max(0.0, expires_at.timestamp() - time.time())
    subscriber = hub.subscribe(filter, start.position.seq)
    metrics.STREAMS.inc()
    try:
        await release()  # here, not in the view: middleware uses the thread after the view
        yield _opening(hub, start, expires_at)
        beat_at = time.monotonic() + hub.limits.heartbeat_seconds
        while (now := time.monotonic()) < ends:
            data, wait_until = await _next(subscriber, now)
            if not data and now >= beat_at:
                data = sse.heartbeat(id=str(subscriber.position))
            if data:
                yield data
                beat_at = time.monotonic() + hub.limits.heartbeat_seconds
            else:
                subscriber.wake_at = min(beat_at, ends, wait_until)
                await subscriber.wait()
        yield frames.close("token_expired", reconnect=False)
    finally:
        hub.unsubscribe(subscriber)
        metrics.STREAMS.dec()


async def _next(subscriber: Subscriber, now: float) -> tuple[bytes, float]:
    """Return what to send now, and when to look again at the latest where that is nothing."""
    try:
        while (item := await subscriber.next()) is not None:
            if isinstance(item, Reset):
                return frames.reset(item.reason, item.position), now
            if item.data:
                metrics.EVENTS_OUT.inc(item.events)
                return item.data, now
    except LogUnavailable as exc:
        # The client learns of it by what it does not get: its position stands still.
        logger.warning("action=replay position=%s error=%s", subscriber.position, exc)
        return b"", now + LOG_RETRY_SECONDS
    return b"", math.inf


def _opening(hub: Hub, start: Start, expires_at: datetime) -> bytes:
    opening = frames.connected(
        start.position,
        resumed=start.resumed,
        heartbeat_seconds=hub.limits.heartbeat_seconds,
        expires_at=expires_at,
        retry_milliseconds=hub.limits.retry_milliseconds,
    )
    if start.reset_reason is not None:
        opening += frames.reset(start.reset_reason, start.position)
    return opening
