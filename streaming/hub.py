"""The hub: one per web process. It follows the log and hands its events to the streams.

One subscription to the channel layer tells it what is new. Whatever is odd about a message
(a gap, another epoch, silence, garbage) only makes it read the log: the log is the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from types import TracebackType

from attune.limits import Limits
from executions.eventlog import Event, LogState, Position
from streaming import metrics, sse
from streaming.feed import Feed, Frame, Ring
from streaming.filters import Filter
from streaming.layer import Layer, LayerError
from streaming.messages import Batch, MessageError
from streaming.replay import LogReader, LogUnavailable
from streaming.subscriber import Subscriber

logger = logging.getLogger("attune.hub")

RETRY_SECONDS = (0.1, 5.0)  # first and longest wait after a failure
TICK_SECONDS = 0.5


class Hub:
    """Follows the log and wakes the streams whose filter lets something new through.

    Use it as an async context manager inside the event loop that serves the streams.
    """

    def __init__(self, layer: Layer, log: LogReader, limits: Limits) -> None:
        self.limits = limits
        self.log = log
        self._layer = layer
        self._ring = Ring(max_events=limits.ring_events, max_bytes=limits.ring_bytes)
        self._epoch = ""
        self._seq = 0
        self._floor_seq = 0
        self._feeds: dict[Filter, Feed] = {}
        self._feeds_of: dict[int, set[Filter]] = {}  # by execution, where a filter names some
        self._broad: set[Filter] = set()  # filters that name no execution
        self._subscribers: dict[Feed, set[Subscriber]] = {}
        self._repairing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._trouble: str | None = None
        self._heard = 0.0  # time.monotonic() of the last message from a worker

    # --- life -----------------------------------------------------------------------------
    async def __aenter__(self) -> Hub:
        await self.log.open()
        self._tasks = [
            asyncio.create_task(self._follow(), name="hub.follow"),
            asyncio.create_task(self._tick(), name="hub.tick"),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._layer.close()
        await self.log.close()

    # --- what others ask --------------------------------------------------------------------
    @property
    def position(self) -> Position:
        """Up to where the streams have been told; an empty epoch before the first reading."""
        return Position(self._epoch, self._seq)

    @property
    def alive(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    @property
    def silent_seconds(self) -> float:
        """How long no worker has been heard; infinite before the first message."""
        return time.monotonic() - self._heard if self._heard else float("inf")

    async def state(self, *, cursor: str | None = None) -> LogState:
        """Return a state of the log that is fresh enough to judge `cursor` by.

        While messages come in, what the hub knows will do, unless the cursor is ahead of it
        or of another epoch: then the log is asked. Raises LogUnavailable.
        """
        wanted = Position.parse(cursor or "")
        known = wanted is None or (wanted.epoch == self._epoch and wanted.seq <= self._seq)
        if known and self.silent_seconds < self.limits.layer_silence_seconds:
            return LogState(self._epoch, self._seq, self._floor_seq)
        return await self.refresh()

    async def refresh(self) -> LogState:
        """Read the log up to its end, and return its state; raises LogUnavailable."""
        async with self._repairing:
            return await self._catch_up()

    def subscribe(self, filter: Filter, seq: int) -> Subscriber:
        """Register a stream that has had everything up to `seq`. Call `unsubscribe` after."""
        feed = self._feeds.get(filter)
        if feed is None:
            feed = self._add_feed(filter)
        subscriber = Subscriber(self, feed, Position(self._epoch, seq))
        self._subscribers[feed].add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        feed = subscriber.feed
        self._subscribers[feed].discard(subscriber)
        if not self._subscribers[feed]:
            self._remove_feed(feed)

    # --- feeds ------------------------------------------------------------------------------
    def _add_feed(self, filter: Filter) -> Feed:
        feed = self._feeds[filter] = Feed(filter, self._ring, since=self._seq)
        self._subscribers[feed] = set()
        for execution in filter.executions:
            self._feeds_of.setdefault(execution, set()).add(filter)
        if not filter.executions:
            self._broad.add(filter)
        return feed

    def _remove_feed(self, feed: Feed) -> None:
        filter = feed.filter
        del self._feeds[filter], self._subscribers[feed]
        self._broad.discard(filter)
        for execution in filter.executions:
            named = self._feeds_of[execution]
            named.discard(filter)
            if not named:
                del self._feeds_of[execution]

    def _feeds_for(self, event: Event) -> list[Feed]:
        """Return the feeds that take the event; asks only those that may."""
        candidates = self._broad | self._feeds_of.get(event.execution, set())
        return [self._feeds[f] for f in candidates if f.matches(event)]

    # --- following the log ------------------------------------------------------------------
    async def _follow(self) -> None:
        """Subscribe, read what was missed, then take messages until something is odd."""
        wait = RETRY_SECONDS[0]
        while True:
            try:
                epoch = (await self.refresh()).epoch
                channel = await self._layer.subscribe(epoch)
                await self.refresh()  # what came before the subscription
                wait = RETRY_SECONDS[0]
                await self._receive(channel, epoch)
            except (LayerError, MessageError, LogUnavailable) as exc:
                self._report(str(exc))
                # Without the layer, the log alone keeps the streams going, if slower.
                with contextlib.suppress(LogUnavailable):
                    await self.refresh()
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))
                wait = min(wait * 2, RETRY_SECONDS[1])

    async def _receive(self, channel: str, epoch: str) -> None:
        """Take messages for as long as the epoch lasts."""
        while self._epoch == epoch:
            batch = await self._layer.receive(channel, seconds=self.limits.layer_silence_seconds)
            self._heard = time.monotonic()
            self._report(None)
            await self._apply(batch)

    def _report(self, trouble: str | None) -> None:
        """Log a trouble when it begins or becomes another one, and when it is over."""
        if trouble != self._trouble:
            if trouble is None:
                logger.info("action=follow state=recovered")
            else:
                logger.warning("action=follow state=degraded error=%r", trouble)
            self._trouble = trouble

    async def _apply(self, batch: Batch) -> None:
        async with self._repairing:
            if batch.epoch != self._epoch or batch.first_seq > self._seq + 1:
                metrics.REPAIRS.inc()
                await self._catch_up()
            if batch.epoch == self._epoch:
                self._deliver([e for e in batch.events if e.seq > self._seq])

    async def _catch_up(self) -> LogState:
        """Read the log from our position to its end."""
        state = await self.log.state()
        self._floor_seq = state.floor_seq
        if state.epoch != self._epoch or state.last_seq < self._seq:
            self._restart(state)
        if state.last_seq - self._seq > self.limits.ring_events:
            # Too much to keep anyhow: streams that are behind read it from the log themselves.
            self._skip_to(state.last_seq - self.limits.ring_events)
        while self._seq < state.last_seq:
            page = await self.log.page(
                after=self._seq, upto=state.last_seq, limit=self.limits.replay_page_events
            )
            self._deliver(page.events)
            self._seq = page.upto
        return state

    def _restart(self, state: LogState) -> None:
        """Begin at the end of a log that does not continue what we knew."""
        if self._epoch:
            logger.warning("action=restart epoch=%s was=%s", state.position, self.position)
        self._epoch = state.epoch
        self._skip_to(state.last_seq)

    def _skip_to(self, seq: int) -> None:
        self._seq = seq
        self._ring.start(seq)
        for feed in self._feeds.values():
            feed.restart(seq)
            self._wake(feed)

    def _deliver(self, events: list[Event]) -> None:
        """Encode each event once and put it into every feed that takes it."""
        touched: set[Feed] = set()
        for event in events:
            data = sse.event(event.body, id=f"{self._epoch}-{event.seq}")
            frame = Frame(event, data)
            self._ring.append(frame)
            self._seq = event.seq
            for feed in self._feeds_for(event):
                feed.append(frame)
                touched.add(feed)
        metrics.EVENTS_IN.inc(len(events))
        for feed in touched:
            self._wake(feed)

    # --- waking -----------------------------------------------------------------------------
    def _wake(self, feed: Feed) -> None:
        for subscriber in self._subscribers[feed]:
            subscriber.wake()

    async def _tick(self) -> None:
        """Wake the streams that are due for a heartbeat or for their end."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for feed, subscribers in self._subscribers.items():
                feed.trim()
                for subscriber in subscribers:
                    if now >= subscriber.wake_at:
                        subscriber.wake()
