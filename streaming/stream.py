"""One client's stream, as the bytes it is sent."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import AsyncGenerator

from executions.eventlog import Event
from executions.filters import Filter
from streaming import frames, metrics, sse
from streaming.access import Access, AccessRegistry
from streaming.auth import Viewer
from streaming.beginning import AlreadyEnded, Beginning, Start, TooManyToWatch, begin, watching
from streaming.connection import Connection
from streaming.feed import Chunk
from streaming.filters import StreamRequest
from streaming.hub import Hub
from streaming.replay import LogUnavailable
from streaming.subscriber import Reset, Subscriber

logger = logging.getLogger("attune.stream")

# How long a stream waits before it tries the log again that it could not read.
LOG_RETRY_SECONDS = 1.0
# How long a write that was told to be slow may still take to get its last frame through.
CUT_SECONDS = 5.0
# Over how long clients that are all sent away at once come back.
SPREAD_MILLISECONDS = (1_000, 10_000)


class Stream:
    """What `asked` for, sent to `viewer` over `connection`."""

    def __init__(
        self,
        hub: Hub,
        accesses: AccessRegistry,
        asked: StreamRequest,
        beginning: Beginning,
        viewer: Viewer,
        connection: Connection,
    ) -> None:
        self._hub = hub
        self._accesses = accesses
        self._asked = asked
        self._watch = beginning.watch
        self._known = beginning.known
        self._beginning = beginning
        self._catching_up = beginning.start.resumed
        self._viewer = viewer
        self._connection = connection
        self._subscriber: Subscriber
        self._access: Access
        self._over = False
        self._log_retry_at = 0.0
        self._beat_at = math.inf
        self._idle = False  # the task waits for events, and nothing but events
        self._writing_since = math.inf
        self._in_hand = 0  # bytes of the write that has not returned
        self._slow = False
        now = time.monotonic()
        self._token_ends = now + viewer.seconds_left(jitter=random.random())
        self._life_ends = now + hub.limits.max_lifetime_seconds * random.uniform(0.9, 1.0)
        self._ends = min(self._token_ends, self._life_ends)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield what to write, until the stream is over. Closing it frees everything."""
        self._enter()
        try:
            data = self._opening(self._beginning)
            while True:
                if data:
                    self._writing_since, self._in_hand = time.monotonic(), len(data)
                    yield data
                    self._writing_since, self._in_hand = math.inf, 0
                    self._beat_at = time.monotonic() + self._hub.limits.heartbeat_seconds
                if self._over:
                    return
                data = await self._next()
        finally:
            self._leave()

    def tick(self, now: float) -> None:
        """Called by the hub every half second, also while a write hangs."""
        hangs = now - self._writing_since
        if hangs > self._hub.limits.slow_client_seconds:
            self._slow = True
        if hangs > self._hub.limits.slow_client_seconds + CUT_SECONDS:
            self.cut()
        elif now >= self._beat_at and self._may_write(now):
            metrics.EVENTS_OUT.inc(self.push(now))
            self._write(sse.heartbeat(id=str(self._subscriber.position)), now)
        elif now >= min(self._beat_at, self._ends, self._stale_at) or self._log_retry_at:
            self._subscriber.wake()

    def push(self, now: float) -> int:
        """Called by the hub when there are events: write them here, or wake the task to.

        Writing here is the short way, for a stream that waits at the end of the log; whatever
        else is to be done, the task does.
        """
        events = 0
        if self._may_write(now):
            chunk = self._subscriber.recent()
            if chunk is not None:
                events = len(chunk.frames)
                if chunk.data:  # an empty write would end the response
                    self._write(chunk.data, now)
            if not self._subscriber.behind:
                return events
        self._subscriber.wake()
        return events

    def _may_write(self, now: float) -> bool:
        return (
            self._idle
            and now < self._ends
            and self._access.rights is self._rights
            and not self._access.stale(now)
            and self._connection.ready
        )

    def _write(self, data: bytes, now: float) -> None:
        self._connection.write(data)
        self._beat_at = now + self._hub.limits.heartbeat_seconds

    def cut(self) -> None:
        """Cut the connection of a client that takes nothing."""
        metrics.CLOSES.labels("cut").inc()
        self._writing_since = math.inf  # once is enough
        self._connection.abort()

    @property
    def hanging_since(self) -> float:
        """When the write in hand began, in time.monotonic(); infinite where none is."""
        return self._writing_since

    @property
    def unsent(self) -> int:
        """How many bytes this process holds that the client has not taken."""
        return self._in_hand + self._connection.unsent

    # --- the steps of the loop --------------------------------------------------------------
    async def _next(self) -> bytes:
        """Wait for what to write next, and return it."""
        while True:
            now = time.monotonic()
            ending = self._ending(now)
            if ending:
                return ending
            self._follow_rights()
            held_back = self._access.stale(now) or now < self._log_retry_at
            data = None if held_back else await self._take()
            if data:
                return data
            if (data is None and self._caught_up(held_back)) or now >= self._beat_at:
                return sse.heartbeat(id=str(self._subscriber.position))
            if data is None:
                self._idle = not (held_back or self._log_retry_at or self._known or self._watch)
                await self._subscriber.wait()
                self._idle = False

    def _caught_up(self, held_back: bool) -> bool:
        """Say once, when there is nothing left to replay: the client is told by a heartbeat."""
        if not self._catching_up or held_back or self._log_retry_at:
            return False
        self._catching_up = False
        return True

    def _ending(self, now: float) -> bytes:
        """Return the last frame where there is a reason to end, and take note of it."""
        if not self._access.rights.active:
            return self._close("revoked", reconnect=False)
        if now >= self._token_ends:
            return self._close("token_expired", reconnect=False)
        if self._hub.closing:
            return self._close("shutdown", reconnect=True)
        if now >= self._life_ends:
            return self._close("max_lifetime", reconnect=True)
        if self._slow:
            return self._close("slow_consumer", reconnect=True)
        return b""

    def _close(self, reason: str, *, reconnect: bool) -> bytes:
        self._over = True
        metrics.CLOSES.labels(reason).inc()
        retry = random.randint(*SPREAD_MILLISECONDS) if reconnect else None
        return frames.close(reason, reconnect=reconnect, retry_milliseconds=retry)

    def _follow_rights(self) -> None:
        self._rights = self._access.rights
        hidden = self._rights.hidden_packs
        if hidden != self._subscriber.filter.hidden_packs:
            self._subscriber.change(self._asked.filter.hiding(hidden))

    async def _take(self) -> bytes | None:
        """Return the next events, encoded; None where there are none now."""
        try:
            if time.monotonic() >= self._stale_at:
                await self._watch_again()
                if self._watch is not None and self._watch.done:
                    return self._end(self._subscriber.position.seq)
            item = await self._subscriber.next()
            self._log_retry_at = 0.0
            if isinstance(item, Reset):
                return await self._start_over(item)
        except LogUnavailable as exc:
            # The client learns of it by what it does not get: its position stands still.
            logger.warning("action=replay position=%s error=%s", self._subscriber.position, exc)
            self._log_retry_at = time.monotonic() + LOG_RETRY_SECONDS
            return None
        return None if item is None else self._pass_on(item)

    @property
    def _stale_at(self) -> float:
        return self._watch.stale_at if self._watch is not None else math.inf

    async def _watch_again(self) -> None:
        try:
            self._watch = await watching(self._hub, self._filter, since=self._subscriber.position)
        except TooManyToWatch:
            self._watch = None

    async def _start_over(self, reset: Reset) -> bytes:
        start = Start(reset.position, reset_reason=reset.reason)
        try:
            beginning = await begin(self._hub, self._asked, self._filter, start)
        except (AlreadyEnded, TooManyToWatch):
            beginning = Beginning(start)
        self._watch, self._known = beginning.watch, beginning.known
        self._subscriber.close()
        self._subscriber = Subscriber(
            self._hub, self._filter, beginning.start.position, reader=self
        )
        return self._news(beginning)

    def _pass_on(self, chunk: Chunk) -> bytes:
        """Return the chunk's bytes, less what the client knows and what follows its end."""
        if not self._known and self._watch is None:
            metrics.EVENTS_OUT.inc(len(chunk.frames))
            return chunk.data
        parts = []
        for frame in chunk.frames:
            if not self._is_known(frame.event):
                parts.append(frame.data)
            if self._watch is not None:
                self._watch.see(frame.event, time.monotonic())
                if self._watch.done:
                    parts.append(self._end(frame.event.seq))
                    break
        metrics.EVENTS_OUT.inc(len(parts))
        return b"".join(parts)

    def _is_known(self, event: Event) -> bool:
        version = self._known.get(event.execution)
        if version is None:
            return False
        if event.version >= version:
            del self._known[event.execution]
        return event.version <= version

    # --- frames -----------------------------------------------------------------------------
    def _opening(self, beginning: Beginning) -> bytes:
        return frames.connected(
            beginning.start.position,
            resumed=beginning.start.resumed,
            heartbeat_seconds=self._hub.limits.heartbeat_seconds,
            expires_at=self._viewer.expires_at,
            retry_milliseconds=self._hub.limits.retry_milliseconds,
        ) + self._news(beginning)

    def _news(self, beginning: Beginning) -> bytes:
        """Return reset, snapshot and end, as far as the beginning has them."""
        start, data = beginning.start, b""
        if start.reset_reason is not None:
            metrics.RESETS.labels(start.reset_reason).inc()
            data += frames.reset(start.reset_reason, start.position)
        if beginning.snapshot is not None:
            snapshot = beginning.snapshot
            data += frames.snapshot(snapshot.position, snapshot.rows, complete=snapshot.complete)
        if self._watch is not None and self._watch.done:
            data += self._end(start.position.seq)
        return data

    def _end(self, seq: int) -> bytes:
        assert self._watch is not None
        self._over = True
        metrics.CLOSES.labels("end").inc()
        return frames.end(f"{self._subscriber.position.epoch}-{seq}", self._watch.statuses)

    # --- life -------------------------------------------------------------------------------
    @property
    def _filter(self) -> Filter:
        return self._asked.filter.hiding(self._access.rights.hidden_packs)

    def _enter(self) -> None:
        viewer = self._viewer
        self._subscriber = Subscriber(
            self._hub,
            self._asked.filter.hiding(viewer.rights.hidden_packs),
            self._beginning.start.position,
            reader=self,
        )
        self._access = self._accesses.enter(
            viewer.credential, viewer.rights, self, checked_at=viewer.checked_at
        )
        self._rights = self._access.rights
        self._hub.streams.add(self)
        metrics.STREAMS.inc()

    def _leave(self) -> None:
        self._subscriber.close()
        self._accesses.leave(self._access, self)
        self._hub.streams.discard(self)
        metrics.STREAMS.dec()

    def wake(self) -> None:
        self._subscriber.wake()
