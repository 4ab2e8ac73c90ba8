"""One stream's place in the log, and how it gets what comes after it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from executions.filters import Filter
from executions.positions import Position
from streaming.feed import Chunk, Reader
from streaming.hub import CHUNK_BYTES, Hub


@dataclass(frozen=True, slots=True)
class Reset:
    """The stream cannot go on from where it is; a new Subscriber can, from `position`.

    This one stays where it is: until its client has been told, nothing has been skipped.
    """

    reason: str
    position: Position


class Subscriber:
    """A position, and a way to wait for what follows it. Holds no events.

    `reader` is told of what is new in place of this object.
    """

    __slots__ = ("_feed", "_hub", "_reader", "_waiter", "_woken", "position")

    def __init__(
        self, hub: Hub, filter: Filter, position: Position, *, reader: Reader | None = None
    ) -> None:
        self._hub = hub
        self._reader = reader or self
        self._waiter: asyncio.Future[None] | None = None
        self._woken = False  # since `look`, while nobody waited
        self.position = position  # everything up to here has been handed out
        self._feed = hub.join(filter, self._reader, position)

    @property
    def filter(self) -> Filter:
        return self._feed.filter

    def close(self) -> None:
        self._hub.leave(self._feed, self._reader)

    def change(self, filter: Filter) -> None:
        """Go on from the same position with another filter."""
        self.close()
        self._feed = self._hub.join(filter, self._reader, self.position)

    @property
    def behind(self) -> bool:
        """Whether there is something after the position, be it what the filter leaves out."""
        here, end = self.position, self._hub.position
        return here is not end and (here.seq < end.seq or here.epoch != end.epoch)

    async def next(self) -> Chunk | Reset | None:
        """Return what follows the position, and move there; None where nothing does.

        A chunk without frames: there was nothing that matches, ask again. A Reset does not move.
        Raises LogUnavailable while it would have to read the log and cannot.
        """
        if self.position.epoch != self._hub.position.epoch:
            return self._reset("epoch_changed")
        if self.position.seq >= self._hub.position.seq:
            return None  # nothing new, or resumed ahead of this process: it will get there
        here, feed = self.position, self._feed
        if here.seq < feed.floor:
            if not await self._hub.reach(feed, here.seq):
                return await self._from_log()
            if here.epoch != self._hub.position.epoch:
                return self._reset("epoch_changed")
        chunk = self.recent()
        if chunk is not None:
            self.move(chunk)
        return chunk if chunk is not None and chunk.frames else None

    def recent(self) -> Chunk | None:
        """Return what follows the position, where memory has it; then `move`, or leave it."""
        here, end = self.position, self._hub.position
        if here.epoch != end.epoch or not self._feed.floor <= here.seq < end.seq:
            return None
        return self._feed.after(here.seq, max_bytes=CHUNK_BYTES)

    def move(self, recent: Chunk) -> None:
        """Move behind what `recent` has just returned."""
        end = self._hub.position
        # Where it is not cut, what followed its last frame does not match.
        self.position = Position(end.epoch, recent.last_seq) if recent.cut else end

    def look(self) -> None:
        """Call before looking for something to do: `wait` will know who woke it since."""
        self._woken = False

    async def wait(self) -> None:
        """Return when there may be something new, or `wake` is called, or was since `look`."""
        if self._woken:
            self._woken = False
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        if self._waiter is None:
            self._woken = True
        elif not self._waiter.done():
            self._waiter.set_result(None)

    def push(self, now: float) -> int:
        self.wake()
        return 0

    async def _from_log(self) -> Chunk | Reset:
        start = self.position
        found = await self._hub.rereading.read(self.filter, start, upto=self._hub.position.seq)
        if start.epoch != self._hub.position.epoch:
            return self._reset("epoch_changed")
        if start.seq < found.floor_seq:
            return self._reset("history_gone")
        self.position = Position(start.epoch, found.chunk.last_seq)
        return found.chunk

    def _reset(self, reason: str) -> Reset:
        return Reset(reason, self._hub.position)
