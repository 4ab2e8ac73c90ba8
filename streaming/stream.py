"""One client's stream, as the bytes it is sent."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncGenerator

from attune import logs
from executions.filters import Filter
from executions.visibility import Rights
from streaming import frames, metrics
from streaming.access import Access, AccessRegistry
from streaming.auth import Viewer
from streaming.beginning import Beginning
from streaming.briefing import Briefing
from streaming.chunks import Chunk
from streaming.connection import Connection
from streaming.ending import Ending
from streaming.filters import StreamRequest
from streaming.hub import Hub
from streaming.replay import LogUnavailable
from streaming.subscriber import Reset, Subscriber

logger = logging.getLogger("attune.stream")

# How long a stream waits before it tries the log again that it could not read.
LOG_RETRY_SECONDS = 1.0
# How long a write that was told to be slow may still take to get its last frame through.
CUT_SECONDS = 5.0


class Stream:
    """What `asked` for, sent to `viewer` over `connection`."""

    count = 1

    __slots__ = (
        *("_idle", "_ends", "_access", "_rights", "_subscriber", "_connection", "_meter"),
        "_hub",  # so far what `push` needs, next to each other in memory
        *("_accesses", "_asked", "_beginning", "_briefing", "_catching_up", "_ending"),
        *("_in_hand", "_log_retry_at", "_over", "_viewer", "_writing_since", "fields"),
    )

    def __init__(
        self,
        hub: Hub,
        accesses: AccessRegistry,
        asked: StreamRequest,
        beginning: Beginning,
        viewer: Viewer,
        connection: Connection,
    ) -> None:
        self._hub, self._meter = hub, hub.meter
        self._accesses = accesses
        self._asked = asked
        self._briefing = Briefing(hub, asked)
        self._beginning = beginning
        self._catching_up = beginning.start.resumed
        self._viewer = viewer
        self.fields = logs.bound()  # of the request, for what others log about this stream
        self._connection = connection
        self._subscriber: Subscriber
        self._access: Access
        self._rights: Rights  # that `_subscriber` goes by
        self._over = False
        self._log_retry_at = 0.0
        self._idle = False  # the task waits for events, and nothing but events
        self._writing_since = math.inf
        self._in_hand = 0  # bytes of the write that has not returned
        self._ending = Ending(hub, viewer)
        self._ends = self._ending.at

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield what to write, until the stream is over. Closing it frees everything."""
        self._enter()
        try:
            data = self._opening()
            del self._beginning  # a snapshot may be large
            while True:
                if data:
                    self._writing_since, self._in_hand = time.monotonic(), len(data)
                    self._meter.bytes += len(data)
                    self._hub.streams.attend(self)
                    yield data
                    self._writing_since, self._in_hand = math.inf, 0
                    self._subscriber.written_at = time.monotonic()
                if self._over:
                    return
                data = b""  # not to be held while nothing happens
                data = await self._next()
        finally:
            self._leave()

    def due(self, now: float) -> float:
        """Called by the clock: send a heartbeat, or wake the task to end the stream."""
        beat_at = self._beat_at
        if now >= beat_at and now < self.pushable_until():
            if events := (self._subscriber.cohort or self).push(now):
                metrics.EVENTS_OUT.inc(events)
            if self._push(frames.heartbeat(self._subscriber.position), now):
                beat_at = self._beat_at
        if now >= min(beat_at, self._ends):
            self._subscriber.wake()
        return min(beat_at, self._ends)

    def attend(self, now: float) -> bool:
        """Called by the clock at every tick, from a write of the task on until all is taken."""
        hangs = now - self._writing_since
        if hangs > self._hub.limits.slow_client_seconds:
            self._ending.slow = True
        if hangs > self._hub.limits.slow_client_seconds + CUT_SECONDS:
            self.cut()
        watch_again_at = self._briefing.watch_again_at
        is_ending = self._briefing.is_ending  # for which nobody wakes it
        if self._log_retry_at or is_ending or now >= watch_again_at:
            self._subscriber.wake()
        is_due_soon = self._log_retry_at or is_ending or watch_again_at < math.inf
        return bool(is_due_soon or self.unsent)

    def push(self, now: float) -> int:
        """Called by the hub when there are events: write them here, or wake the task to.

        Writing here is the short way, for a stream that waits at the end of the log; whatever
        else is to be done, the task does.
        """
        subscriber = self._subscriber
        if now < self.pushable_until():
            chunk = subscriber.recent()
            if chunk is None:
                if not subscriber.behind:
                    return 0
            elif not chunk.data or self._push(chunk.data, now):  # an empty one would end it
                subscriber.move(chunk)
                if chunk.cut:
                    subscriber.wake()
                else:
                    self.rest()
                return len(chunk.frames)
        subscriber.wake()
        return 0

    def pushable_until(self) -> float:
        access = self._access
        if not self._idle or access.rights is not self._rights:
            return 0.0
        return min(self._ends, access.stale_at)

    def rest(self) -> None:
        """Have the next events written together with those of others: `push` is for who cannot."""
        outlet = self._connection.outlet
        if outlet is None:
            self._subscriber.stand_up()
        else:
            self._subscriber.rest(outlet)

    def drain(self) -> None:
        self._subscriber.stand_up()
        self._hub.streams.attend(self)

    def _push(self, data: bytes, now: float) -> bool:
        unsent = self._connection.push(data)
        if unsent is None:
            return False
        if unsent:
            self._subscriber.stand_up()
            self._hub.streams.attend(self)
        self._meter.bytes += len(data)
        self._subscriber.written_at = now
        return True

    @property
    def _beat_at(self) -> float:
        return self._subscriber.written_at + self._hub.limits.heartbeat_seconds

    def cut(self) -> None:
        """Cut the connection of a client that takes nothing."""
        metrics.CLOSES.labels("cut").inc()
        logger.info("action=stream state=ended reason=cut", extra={logs.EXTRA: self.fields})
        self._writing_since = math.inf  # once is enough
        self._connection.abort()

    @property
    def hanging_since(self) -> float:
        return self._writing_since

    @property
    def unsent(self) -> int:
        return self._in_hand + self._connection.unsent

    # --- the steps of the loop --------------------------------------------------------------
    async def _next(self) -> bytes:
        """Wait for what to write next, and return it."""
        while True:
            self._subscriber.look()
            now = time.monotonic()
            if ending := self._ending.frame(now, self._access.rights):
                self._over = True
                return ending
            self._follow_rights()
            held_back = now >= self._access.stale_at or now < self._log_retry_at
            data = None if held_back else await self._take()
            if data:
                return data
            if (data is None and self._caught_up(held_back)) or now >= self._beat_at:
                return frames.heartbeat(self._subscriber.position)
            if data is None:
                self._idle = self._briefing.is_plain and not (held_back or self._log_retry_at)
                if self._idle:
                    self.rest()
                await self._subscriber.wait()
                self._idle = False

    def _caught_up(self, held_back: bool) -> bool:
        """Say once, when there is nothing left to replay: the client is told by a heartbeat."""
        if not self._catching_up or held_back or self._log_retry_at:
            return False
        self._catching_up = False
        return True

    def _follow_rights(self) -> None:
        self._rights = self._access.rights
        hidden = self._rights.hidden_packs
        if hidden != self._subscriber.filter.hidden_packs:
            self._subscriber.change(self._followed)
            self._briefing.look_again(time.monotonic())

    async def _take(self) -> bytes | None:
        """Return the next events, encoded; None where there are none now.

        Empty where reading took so long that everything is to be looked at again.
        """
        subscriber = self._subscriber
        here = subscriber.position
        try:
            if time.monotonic() >= self._briefing.watch_again_at:
                await self._briefing.watch_again(self._filter, here)
                if self._outdated:
                    self._briefing.look_again(time.monotonic())
                    return b""
                if end := self._briefing.end_if_done(here):
                    return self._told(end)
            item: Chunk | Reset | Beginning | None = await subscriber.next()
            if isinstance(item, Reset):
                item = await self._briefing.after(item, self._filter)
        except LogUnavailable as exc:
            # The client learns of it by what it does not get: its position stands still.
            logger.warning("action=replay position=%s error=%s", here, exc)
            self._log_retry_at = time.monotonic() + LOG_RETRY_SECONDS
            self._hub.streams.attend(self)
            return None
        self._log_retry_at = 0.0
        if self._outdated:
            subscriber.position = here
            return b""
        if item is None:
            return self._told(self._briefing.end_if_done(subscriber.position)) or None
        if isinstance(item, Beginning):
            return self._start_over(item)
        return self._told(self._briefing.pass_on(item, subscriber.position.epoch))

    @property
    def _outdated(self) -> bool:
        """Whether what has just been read may not be sent any more, or not without a look."""
        now, access = time.monotonic(), self._access
        return access.rights is not self._rights or now >= access.stale_at or now >= self._ends

    def _start_over(self, beginning: Beginning) -> bytes:
        written_at = self._subscriber.written_at
        self._subscriber.close()
        position = beginning.start.position
        self._subscriber = Subscriber(self._hub, self._followed, position, member=self)
        self._subscriber.written_at = written_at
        return self._told(self._briefing.begin(beginning))

    def _opening(self) -> bytes:
        start, limits = self._beginning.start, self._hub.limits
        return frames.connected(
            start.position,
            resumed=start.resumed,
            heartbeat_seconds=limits.heartbeat_seconds,
            expires_at=self._viewer.expires_at,
            retry_milliseconds=limits.retry_milliseconds,
        ) + self._told(self._briefing.begin(self._beginning))

    def _told(self, data: bytes) -> bytes:
        """Take note of what the briefing has just said: it may have been the end."""
        self._over = self._over or self._briefing.over
        if self._briefing.watch_again_at < math.inf or self._briefing.is_ending:
            self._hub.streams.attend(self)
        return data

    # --- life -------------------------------------------------------------------------------
    @property
    def _filter(self) -> Filter:
        return self._asked.filter.hiding(self._access.rights.hidden_packs)

    @property
    def _followed(self) -> Filter:
        return self._asked.followed.hiding(self._access.rights.hidden_packs)

    def _enter(self) -> None:
        viewer = self._viewer
        self._subscriber = Subscriber(
            self._hub,
            self._asked.followed.hiding(viewer.rights.hidden_packs),
            self._beginning.start.position,
            member=self,
        )
        self._access = self._accesses.enter(
            viewer.credential, viewer.rights, self, checked_at=viewer.checked_at
        )
        self._rights = self._access.rights
        first_beat = time.monotonic() + self._hub.limits.heartbeat_seconds
        self._hub.streams.add(self, at=min(first_beat, self._ends))
        metrics.STREAMS.inc()
        logger.info("action=stream state=open position=%s", self._subscriber.position)

    def _leave(self) -> None:
        self._subscriber.close()
        self._accesses.leave(self._access, self)
        self._hub.streams.discard(self)
        metrics.STREAMS.dec()

    def wake(self) -> None:
        self._subscriber.wake()
