"""One stream's place in the log, and how it gets what comes after it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from executions.filters import Filter
from executions.positions import Position
from streaming.chunks import Chunk
from streaming.cohort import Cohort, Member
from streaming.feed import Reader
from streaming.hub import Hub
from streaming.wire import Outlet


@dataclass(frozen=True, slots=True)
class Reset:
    """The stream cannot go on from where it is; a new Subscriber can, from `position`.

    This one stays where it is: until its client has been told, nothing has been skipped.
    """

    reason: str
    position: Position


class Subscriber:
    """A position, and a way to wait for what follows it. Holds no events.

    `member` is told of what is new in place of this object.
    """

    count = 1

    __slots__ = (
        *("_feed", "_hub", "_member", "_position", "_waiter", "_woken"),
        *("_written_at", "cohort"),
    )

    def __init__(
        self, hub: Hub, filter: Filter, position: Position, *, member: Member | None = None
    ) -> None:
        self._hub = hub
        self._member = member
        self._waiter: asyncio.Future[None] | None = None
        self._woken = False  # since `look`, while nobody waited
        self.cohort: Cohort | None = None  # in which it is written to, while it rests
        self._position = position
        self._written_at = math.inf
        self._feed = hub.join(filter, self._reader, position)

    @property
    def _reader(self) -> Reader:
        return self if self._member is None else self._member

    @property
    def filter(self) -> Filter:
        return self._feed.filter

    @property
    def position(self) -> Position:
        """Everything up to here has been handed out."""
        return self._position if self.cohort is None else self.cohort.position

    @position.setter
    def position(self, position: Position) -> None:
        self._position = position

    @property
    def written_at(self) -> float:
        """When the client was last sent something, in time.monotonic(); infinite before that."""
        if self.cohort is None:
            return self._written_at
        return max(self._written_at, self.cohort.written_at)

    @written_at.setter
    def written_at(self, now: float) -> None:
        self._written_at = now

    def close(self) -> None:
        self.stand_up()
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
        return self._feed.recent(self.position, self._hub.position)

    def move(self, recent: Chunk) -> None:
        """Move behind what `recent` has just returned."""
        self.position = recent.behind(self._hub.position)

    def look(self) -> None:
        """Call before looking for something to do: `wait` will know who woke it since."""
        self._woken = False

    async def wait(self) -> None:
        """Return when there may be something new, or `wake` is called, or was since `look`."""
        try:
            if not self._woken:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        finally:
            self._waiter, self._woken = None, False
            self.stand_up()

    def rest(self, outlet: Outlet) -> None:
        """Have the member written to together with others, from now on until `stand_up`.

        Only at the end of the log; whoever is not there stays alone.
        """
        self.stand_up()
        member = self._member
        if member is None or self._position != self._hub.position:
            return
        cohort = self._feed.cohort
        if cohort is None or not cohort.takes(self._position):
            cohort = self._feed.cohort = Cohort(self._hub, self._feed, self._position)
        cohort.join(member, outlet, written_at=self._written_at)
        self._feed.readers.discard(member)
        self.cohort = cohort

    def stand_up(self) -> None:
        """Go on alone from where the cohort is, if there is one."""
        cohort, member = self.cohort, self._member
        if cohort is not None and member is not None:
            self._position, self._written_at = cohort.position, self.written_at
            self.cohort = None
            self._feed.readers.add(member)
            cohort.leave(member)

    def wake(self) -> None:
        self.stand_up()
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
