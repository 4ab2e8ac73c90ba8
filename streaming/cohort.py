"""Streams that wait at the same place of a feed, written to without a look at each of them.

What a push costs is fetching a stream's objects from memory, not what is done with them. Of a
stream that only waits for events, a round of writes needs no more than where to write; its
place in the log, and until when it may be written to, it shares with its cohort.
"""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

from executions.positions import Position
from streaming.feed import Reader
from streaming.wire import Outlet, Transport, body_part

if TYPE_CHECKING:
    from streaming.feed import Feed
    from streaming.hub import Hub

logger = logging.getLogger("attune.cohort")

# Written to before the event loop gets its turn: less than a millisecond.
COHORT_STREAMS = 32


class Member(Reader, Protocol):
    """A stream, which may join a cohort while it waits; `wake` takes it out."""

    def pushable_until(self) -> float:
        """Until when events may be written to it, in time.monotonic(), as things stand."""

    def rest(self) -> None:
        """Join a cohort; if it is in one, another."""

    def drain(self) -> None:
        """Leave the cohort, until the client has taken what the transport holds for it."""

    def cut(self) -> None:
        """Cut the connection at once."""


class _Untaken(NamedTuple):
    """What a client's kernel has not taken of a part of the body."""

    member: Member
    transport: Transport
    data: bytes

    def hand_over(self) -> None:
        """Leave it to the transport, and the client behind."""
        try:
            self.member.drain()
            self.transport.write(self.data)
        except Exception:  # what was begun must not be followed by anything else
            logger.exception("action=drain")
            self.member.cut()


class Cohort:
    """Streams at the same `position` of a feed, all of them idle; for the feed, one reader.

    Whatever else happens to one of them, a `wake` above all, takes it out. Nothing is unsent on
    any of their connections, and while they are here nobody else writes to those.
    """

    __slots__ = ("_feed", "_hub", "_members", "_outlets", "_until", "position", "written_at")

    def __init__(self, hub: Hub, feed: Feed, position: Position) -> None:
        self._hub = hub
        self._feed = feed
        self._members: list[Member] = []
        self._outlets: list[Outlet] = []  # of each, in the same order
        self._until = 0.0  # all of them may be written to; in time.monotonic()
        self.position = position
        self.written_at = 0.0  # to all of them, or later; the same

    @property
    def count(self) -> int:
        return len(self._members)

    def takes(self, position: Position) -> bool:
        return len(self._members) < COHORT_STREAMS and self.position == position

    def join(self, member: Member, outlet: Outlet, *, written_at: float) -> None:
        """Take in a stream, to which something was last written then."""
        until = member.pushable_until()
        self._until = min(self._until, until) if self._members else until
        self.written_at = min(self.written_at, written_at)
        self._members.append(member)
        self._outlets.append(outlet)
        self._feed.readers.add(self)

    def leave(self, member: Member) -> None:
        """Take it out; for the feed it is to be a reader of its own by now."""
        at = self._members.index(member)
        del self._members[at], self._outlets[at]
        if not self._members:
            self._feed.readers.discard(self)

    def wake(self) -> None:
        for member in tuple(self._members):
            member.wake()

    def push(self, now: float) -> int:
        """Write what is new to all of them, and return how many events they took."""
        if now >= self._until:
            self._review(now)
        end = self._hub.position
        if self.position == end or not self._members:
            return 0
        chunk = self._feed.recent(self.position, end)
        if chunk is None:
            self.wake()  # the log has it
            return 0
        short = self._write(chunk.data, now) if chunk.data else []
        events = len(chunk.frames) * len(self._members)
        self.position = chunk.behind(end)
        for untaken in short:
            untaken.hand_over()
        if chunk.cut:
            self.wake()
            for untaken in short:
                untaken.member.wake()
        elif self._members:
            self._gather()
        return events

    def _review(self, now: float) -> None:
        """Ask each anew until when it may be written to, and wake those whose time is over."""
        until, over = math.inf, []
        for member in self._members:
            ends = member.pushable_until()
            if now >= ends:
                over.append(member)
            elif ends < until:
                until = ends
        for member in over:
            member.wake()
        self._until = until

    def _write(self, data: bytes, now: float) -> list[_Untaken]:
        """Send what each kernel takes right now; return what was left of it."""
        part = body_part(data)
        size, write = len(part), os.write
        closing, short = [], []
        for at, (descriptor, transport) in enumerate(self._outlets):
            if transport.is_closing():
                closing.append(self._members[at])
                continue
            try:
                sent = write(descriptor, part)
            except OSError:  # full, or broken: the transport will notice
                sent = 0
            if sent != size:
                short.append(_Untaken(self._members[at], transport, part[sent:]))
        for member in closing:
            member.wake()
        self.written_at = now
        self._hub.meter.bytes += len(data) * len(self._members)
        return short

    def _gather(self) -> None:
        """Move few to others, who are at the same place by now: two that are small make one."""
        other = self._feed.cohort
        if other is self:
            return
        if other is None or not other.count or other.position != self.position:
            self._feed.cohort = self
            return
        small, large = sorted((self, other), key=lambda cohort: cohort.count)
        if small.count + large.count <= COHORT_STREAMS:
            self._feed.cohort = large
            for member in tuple(small._members):
                member.rest()
        elif small.count < other.count:
            self._feed.cohort = small  # it has more room
