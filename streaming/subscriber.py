"""One stream's place in the log, and how it gets what comes after it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from executions.eventlog import Position
from streaming import sse
from streaming.feed import Chunk, Feed, Frame, join

if TYPE_CHECKING:
    from streaming.hub import Hub

# What one stream may have in flight: small enough for ten thousand clients that never read.
CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reset:
    """The stream cannot go on from where it was; `position` is where it goes on from."""

    reason: str
    position: Position


class Subscriber:
    """A position, and a way to wait for what follows it. Holds no events."""

    __slots__ = ("_hub", "_waiter", "feed", "position", "wake_at")

    def __init__(self, hub: Hub, feed: Feed, position: Position) -> None:
        self._hub = hub
        self._waiter: asyncio.Future[None] | None = None
        self.feed = feed
        self.position = position
        self.wake_at = math.inf  # time.monotonic() at which to return from wait() at the latest

    async def next(self) -> Chunk | Reset | None:
        """Return what follows the position, and move there; None where nothing does.

        Raises LogUnavailable while it would have to read the log and cannot.
        """
        if self.position.epoch != self._hub.position.epoch:
            return self._reset("epoch_changed")
        if self.position.seq > self._hub.position.seq:
            return None  # resumed ahead of this process; it will get there
        if self.position.seq < self.feed.floor:
            return await self._from_log()
        chunk = self.feed.after(self.position.seq, max_bytes=CHUNK_BYTES)
        if not chunk.events:
            self.position = self._hub.position
            return None
        self.position = Position(self.position.epoch, chunk.last_seq)
        return chunk

    async def wait(self) -> None:
        """Return when there may be something new, or at `wake_at`."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _from_log(self) -> Chunk | Reset | None:
        start = self.position
        filter = self.feed.filter
        page = await self._hub.log.page(
            after=start.seq,
            upto=self._hub.position.seq,
            limit=self._hub.limits.replay_page_events,
            executions=filter.executions or None,
        )
        if start.epoch != self._hub.position.epoch:
            return self._reset("epoch_changed")
        if start.seq < page.floor_seq:
            return self._reset("history_gone")
        frames = [
            Frame(event, sse.event(event.body, id=f"{start.epoch}-{event.seq}"))
            for event in page.events
            if filter.matches(event)
        ]
        chunk = join(frames, after=start.seq, max_bytes=CHUNK_BYTES)
        whole = chunk.events == len(frames)
        self.position = Position(start.epoch, page.upto if whole else chunk.last_seq)
        # Nothing here may match while much of the log is still ahead.
        return chunk if chunk.events or self.position.seq < self.feed.floor else await self.next()

    def _reset(self, reason: str) -> Reset:
        self.position = self._hub.position
        return Reset(reason, self.position)
