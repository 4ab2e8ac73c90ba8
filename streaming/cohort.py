"""Streams that wait at the same place of a feed, written to without a look at each of them.

What a push costs is fetching a stream's objects from memory, not what is done with them. Of a
stream that only waits for events, a round of writes needs no more than where to write; its
place in the log, and until when it may be written to, it shares with its cohort.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Protocol

from executions.positions import Position
from streaming.feed import Reader
from streaming.wire import Outlet, body_part

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

    def hold(self, untaken: bytes) -> None:
        """Leave the cohort: of a part of the body, the client has not taken this."""

    def cut(self) -> None:
        """Cut the connection at once."""


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
        for member, untaken in short:
            self._leave_behind(member, untaken)
        if chunk.cut:
            self.wake()
            for member, _ in short:
                member.wake()
        elif self._members:
            self._gather()
        return events

    def _review(self, now: float) -> None:
        """Ask each anew until when it may be written to, and wake those whose time is over."""
        until = {member: member.pushable_until() for member in self._members}
        for member, ends in until.items():
            if now >= ends:
                member.wake()
        self._until = min((ends for ends in until.values() if now < ends), default=0.0)

    def _write(self, data: bytes, now: float) -> list[tuple[Member, bytes]]:
        """Send what each kernel takes right now; return who has not taken all, and what is left."""
        part = body_part(data)
        size, write = len(part), os.write
        closing, short = [], []
        for at, (descriptor, is_closing) in enumerate(self._outlets):
            if is_closing():
                closing.append(self._members[at])
                continue
            try:
                sent = write(descriptor, part)
            except OSError:  # full, or broken: the transport will notice
                sent = 0
            if sent != size:
                short.append((self._members[at], part[sent:]))
        for member in closing:
            member.wake()
        self.written_at = now
        self._hub.meter.bytes += len(data) * len(self._members)
        return short

    def _leave_behind(self, member: Member, untaken: bytes) -> None:
        try:
            member.hold(untaken)
        except Exception:  # what was begun must not be followed by anything else
            logger.exception("action=hold")
            member.cut()

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
