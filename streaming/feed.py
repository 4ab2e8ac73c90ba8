"""Recent events in memory, and the part of them that one filter lets through. Pure.

A stream keeps no queue of its own, only a position. What it has not had yet it takes from
its feed; once the feed has forgotten that far back, from the log. So a client that reads
slowly, or not at all, costs the same few bytes however much happens meanwhile.
"""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from executions.filters import Filter
from executions.positions import Position
from streaming.chunks import CHUNK_BYTES, Chunk, Frame, join

if TYPE_CHECKING:
    from streaming.cohort import Cohort

# Of joined chunks, in all feeds together, which are kept for a moment: a crowd of streams that are
# behind, each somewhere else in the ring, is soon at the same places in it.
JOINED_BYTES = 16 * 1024 * 1024


class Ring:
    """The last events of the log, bounded in number and bytes; the oldest go first.

    It knows which feeds to tell that one has gone: of thousands of them, those to which nothing
    happens are not looked at.
    """

    def __init__(self, *, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._frames: deque[Frame] = deque()
        self._holders: dict[int, set[Feed]] = {}  # by the number of the oldest that each holds
        self._joined: set[Feed] = set()  # the feeds that keep chunks
        self._joined_bytes = 0
        self.bytes = 0
        self._spilled = False  # some went, or stayed away, for their bytes
        self.floor = 0  # every event after this one is here

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def start(self, seq: int) -> None:
        """Forget everything; the next event is `seq + 1`. The feeds are to be restarted, too."""
        self._frames.clear()
        self._holders.clear()
        self.bytes, self._spilled = 0, False
        self.floor = seq

    @property
    def room(self) -> int:
        """How many more events fit by number."""
        return self._max_events - len(self._frames)

    @property
    def full(self) -> bool:
        """Whether there is no use in reading older events: their bytes do not fit."""
        return self._spilled and self.bytes > self._max_bytes // 2

    def prepend(self, frames: Sequence[Frame], *, since: int) -> None:
        """Take over what comes before the first event here: all after `since`.

        Where it does not fit, the oldest of it stay away.
        """
        self.floor = since
        fitting = min(len(frames), self.room)
        for frame in reversed(frames):
            if not fitting or self.bytes + frame.size > self._max_bytes:
                self._spilled = self._spilled or bool(fitting)
                self.floor = frame.event.seq
                break
            fitting -= 1
            self._frames.appendleft(frame)
            self.bytes += frame.size

    def append(self, frame: Frame) -> None:
        self._frames.append(frame)
        self.bytes += frame.size
        self._spilled = self._spilled or self.bytes > self._max_bytes
        while len(self._frames) > self._max_events or self.bytes > self._max_bytes:
            oldest = self._frames.popleft()
            self.bytes -= oldest.size
            self.floor = oldest.event.seq
            for feed in self._holders.pop(self.floor, ()):
                feed.forget_oldest()

    def keep_joined(self, feed: Feed, size: int) -> None:
        """The feed is about to keep a chunk; where that is too much, all go."""
        if self._joined_bytes + size > JOINED_BYTES:
            self.forget_joined()
        self._joined.add(feed)
        self._joined_bytes += size

    def forget_joined(self) -> None:
        for feed in self._joined:
            feed.forget_chunks()
        self._joined.clear()
        self._joined_bytes = 0

    def hold(self, feed: Feed, seq: int) -> None:
        """Tell the feed, whose oldest event this is, when it goes."""
        self._holders.setdefault(seq, set()).add(feed)

    def let_go(self, feed: Feed, seq: int) -> None:
        """Do not: the feed no longer holds it."""
        holders = self._holders.get(seq)
        if holders is not None:
            holders.discard(feed)
            if not holders:
                del self._holders[seq]


class Reader(Protocol):
    """Whoever reads a feed: a stream, or several."""

    @property
    def count(self) -> int:
        """How many streams that is."""

    def push(self, now: float) -> int:
        """Take what is new, and return how many events that were; `now` in time.monotonic()."""

    def wake(self) -> None:
        """Look at everything again, not only at what is new."""


class Feed:
    """The frames of the ring that match one filter, for every stream with that filter."""

    __slots__ = ("_chunks", "_ends", "_frames", "_ring", "cohort", "filter", "floor", "readers")

    def __init__(self, filter: Filter, ring: Ring, *, since: int) -> None:
        self.filter = filter
        self.readers: set[Reader] = set()
        self.cohort: Cohort | None = None  # that others may join
        self.floor = since  # every matching event after this position is here
        self._ring = ring
        self._frames: deque[Frame] = deque()
        self._chunks: dict[tuple[int, int], Chunk] = {}  # cut: they are as they would be now
        self._ends: dict[tuple[int, int], Chunk] = {}  # up to the last frame

    def append(self, frame: Frame) -> None:
        """Take over a frame that matches, which the ring has had; it may have gone already."""
        self._ends.clear()
        seq = frame.event.seq
        if seq <= self._ring.floor:
            self.floor = seq
            return
        if not self._frames:
            self._ring.hold(self, seq)
        self._frames.append(frame.told(self.filter))

    def forget_oldest(self) -> None:
        """Called by the ring, which has.

        Of a feed that nothing has left, the floor stays: a stream that waits for a rare event
        never falls behind.
        """
        self.floor = self._frames.popleft().event.seq
        if self._frames:
            self._ring.hold(self, self._frames[0].event.seq)

    def forget_chunks(self) -> None:
        self._chunks.clear()
        self._ends.clear()

    def fill(self) -> None:
        """Take over what the ring still has from before this feed was made."""
        if self.floor > self._ring.floor:
            self._clear()
            matching = (frame for frame in self._ring if self.filter.matches(frame.event))
            self._frames.extend(frame.told(self.filter) for frame in matching)
            if self._frames:
                self._ring.hold(self, self._frames[0].event.seq)
            self.floor = self._ring.floor

    def restart(self, seq: int) -> None:
        """Forget everything: the ring starts again at `seq`."""
        self._clear()
        self.floor = seq

    def close(self) -> None:
        """Nobody reads it any more."""
        self._clear()
        self.cohort = None

    def _clear(self) -> None:
        if self._frames:
            self._ring.let_go(self, self._frames[0].event.seq)
        self._frames.clear()
        self.forget_chunks()

    def recent(self, here: Position, end: Position) -> Chunk | None:
        """Return what a stream that is `here` has still to get up to the hub's `end`.

        None where there is nothing, and where memory does not have it.
        """
        if here.epoch != end.epoch or not self.floor <= here.seq < end.seq:
            return None
        return self.after(here.seq, max_bytes=CHUNK_BYTES)

    def after(self, seq: int, *, max_bytes: int) -> Chunk:
        """Return what a stream at `seq`, which is not below the floor, has still to get.

        At most about `max_bytes`, but at least one frame where there is one. Readers at the
        same place, which most are, get the same object: it is joined once. Where there is but
        one reader, nothing is kept for others.
        """
        key = (seq, max_bytes)
        chunk = self._ends.get(key) or self._chunks.get(key)
        if chunk is None:
            first = bisect.bisect_right(self._frames, seq, key=lambda frame: frame.event.seq)
            chunk = join(_from(self._frames, first), after=seq, max_bytes=max_bytes)
            if len(self.readers) > 1:
                self._ring.keep_joined(self, chunk.size)
                (self._chunks if chunk.cut else self._ends)[key] = chunk
        return chunk


def _from(frames: deque[Frame], first: int) -> Iterable[Frame]:
    """Return the frames from that index on, from whichever end is nearer: most often the last."""
    count = len(frames) - first
    if first < count:
        return itertools.islice(frames, first, None)
    return reversed(list(itertools.islice(reversed(frames), count)))
