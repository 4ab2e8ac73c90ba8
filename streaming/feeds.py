"""Which feed takes an event, and which streams to wake then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from executions.eventlog import Event
from executions.filters import Filter
from streaming.feed import Feed, Frame, Ring


class Wakeable(Protocol):
    def wake(self) -> None: ...


class Feeds:
    """The feeds in use, each with the streams that read it.

    An event is held only against the filters that can match: those that name its execution
    or an ancestor of it, and those that name none.
    """

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._feeds: dict[Filter, Feed] = {}
        self._readers: dict[Filter, set[Wakeable]] = {}
        self._naming: dict[int, set[Filter]] = {}
        self._broad: set[Filter] = set()

    def __len__(self) -> int:
        return len(self._feeds)

    def join(self, filter: Filter, reader: Wakeable, *, since: int) -> Feed:
        """Return the feed of this filter, made at position `since` where there is none yet."""
        feed = self._feeds.get(filter)
        if feed is None:
            feed = self._feeds[filter] = Feed(filter, self._ring, since=since)
            self._readers[filter] = set()
            for execution in _named(filter):
                self._naming.setdefault(execution, set()).add(filter)
            if not _named(filter):
                self._broad.add(filter)
        self._readers[filter].add(reader)
        return feed

    def leave(self, filter: Filter, reader: Wakeable) -> None:
        readers = self._readers[filter]
        readers.discard(reader)
        if readers:
            return
        del self._feeds[filter], self._readers[filter]
        self._broad.discard(filter)
        for execution in _named(filter):
            naming = self._naming[execution]
            naming.discard(filter)
            if not naming:
                del self._naming[execution]

    def deliver(self, frames: Iterable[Frame]) -> None:
        """Put each frame, which the ring has already, where it belongs, and wake the readers."""
        touched: set[Filter] = set()
        for frame in frames:
            for filter in self._candidates(frame.event):
                if filter.matches(frame.event):
                    self._feeds[filter].append(frame)
                    touched.add(filter)
        for filter in touched:
            self._wake(filter)

    def restart(self, seq: int) -> None:
        """Make every feed begin anew at `seq`, and tell the streams."""
        for filter, feed in self._feeds.items():
            feed.restart(seq)
            self._wake(filter)

    def trim(self) -> None:
        for feed in self._feeds.values():
            feed.trim()

    def _candidates(self, event: Event) -> set[Filter]:
        found = self._broad
        for execution in (event.execution, *(event.ancestors or ())):
            naming = self._naming.get(execution)
            if naming:
                found = found | naming
        return found

    def _wake(self, filter: Filter) -> None:
        for reader in self._readers[filter]:
            reader.wake()


def _named(filter: Filter) -> frozenset[int]:
    return filter.executions or filter.roots
