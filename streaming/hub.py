"""The hub: one per web process. It follows the log and hands its events to the streams.

A subscription to each shard of the channel layer that its streams need tells it what is new.
Whatever is odd about a message (a gap, another epoch, silence, garbage) only makes it read the log:
the log is the truth.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any

from attune.limits import Limits
from executions.eventlog import Event, LogState
from executions.filters import Filter
from executions.positions import Position
from streaming import metrics, shards
from streaming.chunks import CHUNK_BYTES, Frame
from streaming.feed import Feed, Reader, Ring
from streaming.feeds import Feeds
from streaming.follower import RETRY_SECONDS, Followers
from streaming.gauges import DatabaseGauges
from streaming.layer import Layer
from streaming.messages import Batch
from streaming.meter import Meter
from streaming.pace import Pace
from streaming.replay import LogReader, LogUnavailable
from streaming.rereading import Rereading
from streaming.shards import Merge
from streaming.streams import TICK_SECONDS, Streams

logger = logging.getLogger("attune.hub")

DRAIN_LOOK_SECONDS = 0.02
READ_BACK_BYTES = 1024 * 1024
# What a shard that is late keeps the others waiting; then the log is read.
LATE_SECONDS = 0.5


class Hub:
    """Follows the log and wakes the streams whose filter lets something new through.

    Use it as an async context manager inside the event loop that serves the streams.
    """

    def __init__(self, layers: Sequence[Layer], log: LogReader, limits: Limits) -> None:
        self.limits = limits
        self.log = log
        self.rereading = Rereading(
            log, page_events=limits.replay_page_events, page_bytes=CHUNK_BYTES
        )
        self._followers = Followers(self, layers, silence_seconds=limits.layer_silence_seconds)
        self._merge = self._followers.merge
        self._ring = Ring(max_events=limits.ring_events, max_bytes=limits.ring_bytes)
        # Up to where the streams have been told; an empty epoch before the first reading.
        self.position = Position("", 0)
        self._floor_seq = 0
        self._feeds = Feeds(self._ring)
        self._pace = Pace(self._flush)
        self.streams = Streams(
            slow_client_seconds=limits.slow_client_seconds, unsent_bytes=limits.unsent_bytes
        )
        self.gauges = DatabaseGauges(log.figures)
        self.meter = Meter(self.gauges)
        self.closing = False  # the process is about to end: no new streams, end the others
        self._repairing = asyncio.Lock()
        self._reaching = asyncio.Lock()
        self._reach_again_at = 0.0  # in time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self.ticked = 0.0  # time.monotonic() of the last look at the clock

    # --- life -----------------------------------------------------------------------------
    async def __aenter__(self) -> Hub:
        await self.log.open()
        self.ticked = time.monotonic()
        for number, follower in enumerate(self._followers):
            self.run_beside(follower.run(), name=f"follow.{number}")
        self.run_beside(self._tick(), name="tick")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pace.close()
        for follower in self._followers:
            await follower.close()
        await self.log.close()

    def run_beside(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run a task that the streams cannot do without, for as long as the hub lives."""
        task = asyncio.create_task(work, name=f"hub.{name}")
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Never a deaf process: without one of its tasks the hub sends everybody away."""
        if task.cancelled() or self.closing:
            return
        logger.critical("action=%s state=ended", task.get_name(), exc_info=task.exception())
        self.closing = True
        self.streams.wake()

    # --- what others ask --------------------------------------------------------------------
    @property
    def alive(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    @property
    def heard(self) -> float:
        """When a worker was last heard, in time.monotonic(); 0 before the first message."""
        return self._followers.heard

    @property
    def silent_seconds(self) -> float:
        """How long no worker has been heard; infinite before the first message."""
        return time.monotonic() - self.heard if self.heard else float("inf")

    async def state(self, *, cursor: str | None = None) -> LogState:
        """Return a state of the log that is fresh enough to judge `cursor` by.

        While messages come in, what the hub knows will do, unless the cursor is ahead of it,
        of another epoch, or the beginning: then the log is asked. Raises LogUnavailable.
        """
        wanted = Position.parse(cursor or "")
        known = cursor != "earliest" and (
            wanted is None
            or (wanted.epoch == self.position.epoch and wanted.seq <= self.position.seq)
        )
        if known and self.silent_seconds < self.limits.layer_silence_seconds:
            return LogState(self.position.epoch, self.position.seq, self._floor_seq)
        return await self.refresh()

    async def refresh(self) -> LogState:
        """Read the log up to its end, and return its state; raises LogUnavailable."""
        async with self._repairing:
            return await self._catch_up()

    def join(self, filter: Filter, reader: Reader, position: Position) -> Feed:
        """Return the feed for a stream at `position`; `leave` it in the end."""
        if self._merge is not None:
            self._widen(self._merge, shards.needed(filter, len(self._followers)))
        feed = self._feeds.join(filter, reader, since=self.position.seq)
        if self._ring.floor <= position.seq < feed.floor:
            feed.fill()
        return feed

    def leave(self, feed: Feed, reader: Reader) -> None:
        self._feeds.leave(feed, reader)

    async def reach(self, feed: Feed, seq: int) -> bool:
        """Make `feed` hold all that follows `seq`, if memory has room for it.

        A crowd of clients that comes to a process which has just started would read the same
        pages one by one; so they are read once, into the ring. Raises LogUnavailable.
        """
        async with self._reaching:
            if seq < self._ring.floor and self.position.seq - seq <= self.limits.ring_events:
                if time.monotonic() < self._reach_again_at:
                    raise LogUnavailable("it could not be read a moment ago")
                try:
                    await self._read_back(seq)
                except LogUnavailable:
                    # Those in line behind us must not each wait as long to find out.
                    self._reach_again_at = time.monotonic() + RETRY_SECONDS[1]
                    raise
        if self._ring.floor <= seq < feed.floor:
            feed.fill()
        return feed.floor <= seq

    async def _read_back(self, seq: int) -> None:
        """Put events `seq + 1` up to the ring's first one before it."""
        epoch, end, after = self.position.epoch, self._ring.floor, seq
        frames, size = deque[Frame](), 0
        while after < end and self._ring.room >= end - seq and not self._ring.full:
            reading = await self.log.read(
                after=after, upto=end, limit=end - after, max_bytes=READ_BACK_BYTES
            )
            if reading.floor_seq > seq:
                return  # pruned meanwhile: each stream learns it from the log
            for event in reading.page.events:
                frames.append(self._frame(event))
                size += frames[-1].size
            while frames and size - frames[0].size > self.limits.ring_bytes:
                size -= frames.popleft().size  # by which the ring is full without it
            after = reading.page.upto
        if after >= end and (self.position.epoch, self._ring.floor) == (epoch, end):
            self._ring.prepend(frames, since=seq)

    async def drain(self, seconds: float) -> None:
        """End every stream; cut those that have not taken their last frame after `seconds`."""
        self.closing = True
        deadline = time.monotonic() + seconds
        self.streams.wake()
        while self.streams and time.monotonic() < deadline:
            await asyncio.sleep(DRAIN_LOOK_SECONDS)
        self.streams.cut()

    # --- following the log ------------------------------------------------------------------
    async def take(self, shard: int, batch: Batch) -> None:
        """Take over what a shard has brought; raises LogUnavailable."""
        async with self._repairing:
            if self._merge is not None:
                await self._take_part(self._merge, shard, batch)
                return
            if batch.epoch != self.position.epoch or batch.first_seq > self.position.seq + 1:
                metrics.REPAIRS.inc()
                await self._catch_up()
            if batch.epoch == self.position.epoch:
                self._deliver([e for e in batch.events if e.seq > self.position.seq])

    async def _take_part(self, merge: Merge, shard: int, batch: Batch) -> None:
        """Deliver what is complete now that a shard has brought its part."""
        if shard not in merge.shards:
            return  # nobody needs it any more
        if batch.epoch != self.position.epoch or merge.misses(shard, batch):
            metrics.REPAIRS.inc()
            await self._catch_up()
        if batch.epoch != self.position.epoch or shard not in merge.shards:
            return
        if merge.misses(shard, batch):
            return  # nor does the log know of it
        now = time.monotonic()
        events, upto = merge.take(shard, batch, now)
        self._deliver(events)
        self._move_to(upto)
        if merge.held_back(now) > LATE_SECONDS or merge.waiting > self.limits.ring_events:
            metrics.REPAIRS.inc()
            await self._catch_up()

    def _widen(self, merge: Merge, wanted: frozenset[int]) -> None:
        if self._followers.widen(merge, wanted, self.position.seq):
            # What is in memory lacks these shards' part: streams that need it read the log.
            self._skip_to(self.position.seq)

    def _adjust(self, merge: Merge) -> None:
        """Follow what the streams need, and no more; without streams, everything."""
        count = len(self._followers)
        needed = self._feeds.needed(lambda filter: shards.needed(filter, count))
        needed = needed or frozenset(range(count))
        self._widen(merge, needed)
        self._followers.narrow(merge, needed)

    async def _catch_up(self) -> LogState:
        """Read the log from our position to its end."""
        try:
            return await self._read_on()
        finally:
            if self._merge is not None:
                self._merge.reach(self.position.seq)

    async def _read_on(self) -> LogState:
        state = await self.log.state()
        self._floor_seq = state.floor_seq
        if state.epoch != self.position.epoch or state.last_seq < self.position.seq:
            self._restart(state)
        if state.last_seq - self.position.seq > self.limits.ring_events:
            # Too much to keep anyhow: streams that are behind read it from the log themselves.
            self._skip_to(state.last_seq - self.limits.ring_events)
        while self.position.seq < state.last_seq:
            reading = await self.log.read(
                after=self.position.seq,
                upto=state.last_seq,
                limit=self.limits.replay_page_events,
                max_bytes=self.limits.message_bytes,
            )
            self._floor_seq = reading.floor_seq
            if self.position.seq < reading.floor_seq:
                # Pruned before we got there: streams that are behind learn it from the log.
                self._skip_to(reading.floor_seq)
                continue
            self._deliver(reading.page.events)
            self._move_to(reading.page.upto)
        return state

    def _restart(self, state: LogState) -> None:
        """Begin at the end of a log that does not continue what we knew."""
        if self.position.epoch:
            logger.warning("action=restart epoch=%s was=%s", state.position, self.position)
        self.position = state.position
        if self._merge is not None:
            self._merge.restart(state.last_seq)
        self._skip_to(state.last_seq)

    def _skip_to(self, seq: int) -> None:
        self._move_to(seq)
        self._ring.start(seq)
        self._feeds.restart(seq)

    def _move_to(self, seq: int) -> None:
        self.position = Position(self.position.epoch, seq)

    def _deliver(self, events: list[Event]) -> None:
        """Encode each event once, put it into every feed that takes it, and soon write it."""
        frames = [self._frame(event) for event in events]
        for frame in frames:
            self._ring.append(frame)
        if events:
            self._move_to(events[-1].seq)
            before = self._feeds.evaluations
            wanted = self._feeds.put(frames)
            self.meter.arrived(events, wanted=wanted)
            if wanted:
                self._pace.request()
            metrics.EVALUATIONS.inc(self._feeds.evaluations - before)

    def _frame(self, event: Event) -> Frame:
        return Frame.of(event, self.position.epoch)

    def _flush(self) -> Iterator[None]:
        taken = 0
        oldest = self.meter.begin()
        for events in self._feeds.flush():
            taken += events
            yield
        self.meter.written(taken, oldest)

    async def _tick(self) -> None:
        """Give the streams a look at the clock: heartbeats, ends, writes that hang."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._feeds.trim()
            now = self.ticked = time.monotonic()
            if self._merge is not None and self._followers.due(now):
                self._adjust(self._merge)
            self.streams.look(now)
            self.meter.look(self._ring, self.limits, heard=self.heard)
