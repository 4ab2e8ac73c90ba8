"""Pages of the log for streams that are further behind than memory goes, read once for all.

After an overload a thousand streams are behind, each somewhere else. If each read the log for
itself, at 20 µs an event, it would take longer than what comes in meanwhile: they never got
live again, long after the overload. So a page ends at a place that is the same for everybody
who reads with that filter, and the last pages stay for whoever comes to the same place.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from weakref import WeakValueDictionary

from executions.eventlog import Page
from executions.filters import Filter
from executions.positions import Position
from streaming.chunks import STEP_EVENTS, Chunk, Frame, join
from streaming.replay import LogReader

KEPT_BYTES = 8 * 1024 * 1024

Place = tuple[Filter, Position]


@dataclass(frozen=True, slots=True)
class Reread:
    """What follows a place, as one write; and how far back the log went when it was read."""

    chunk: Chunk
    floor_seq: int


class Rereading:
    """The pages read last. `page_events` and `page_bytes` bound one of them."""

    def __init__(self, log: LogReader, *, page_events: int, page_bytes: int) -> None:
        self._log = log
        self._page_events = page_events
        self._page_bytes = page_bytes
        self._kept: OrderedDict[Place, Reread] = OrderedDict()  # the least used first
        self._bytes = 0
        self._reading: WeakValueDictionary[Place, asyncio.Lock] = WeakValueDictionary()

    async def read(self, filter: Filter, start: Position, *, upto: int) -> Reread:
        """Return what follows `start`, up to `upto` at most; raises LogUnavailable.

        What was pruned meanwhile is missing: hold `floor_seq` against `start`.
        """
        place = (filter, start)
        lock = self._reading.get(place)
        if lock is None:
            lock = self._reading[place] = asyncio.Lock()
        async with lock:
            found = self._kept.get(place)
            if found is None:
                found = await self._read(filter, start, upto)
            else:
                self._kept.move_to_end(place)
        return found

    async def _read(self, filter: Filter, start: Position, upto: int) -> Reread:
        reading = await self._log.read(
            after=start.seq,
            upto=upto,
            limit=self._page_events,
            max_bytes=self._page_bytes,
            filter=filter,
        )
        page = reading.page
        if page.upto < upto:
            page = end_at_step(page, after=start.seq)
        frames = [Frame.of(event, start.epoch).told(filter) for event in page.events]
        chunk = join(frames, after=start.seq, max_bytes=2**62)  # the page is bounded already
        found = Reread(Chunk(chunk.data, page.upto, chunk.frames), reading.floor_seq)
        if page.upto % STEP_EVENTS == 0 and reading.floor_seq <= start.seq:
            self._keep((filter, start), found)
        return found

    def _keep(self, place: Place, found: Reread) -> None:
        self._kept[place] = found
        self._bytes += _size(found)
        while self._bytes > KEPT_BYTES:
            self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(found: Reread) -> int:
    """Return about how many bytes it takes: the frames, and what is joined of them."""
    return 2 * len(found.chunk.data) + 1000 * len(found.chunk.frames) + 1000


def end_at_step(page: Page, *, after: int) -> Page:
    """Return the page up to the last multiple of STEP_EVENTS in it, or all where there is none."""
    upto = page.upto - page.upto % STEP_EVENTS
    if upto <= after:
        return page
    return Page([event for event in page.events if event.seq <= upto], upto)
