"""Which feed takes an event, and which streams get it then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from attune import logs
from executions.eventlog import Event
from executions.filters import Filter
from streaming.chunks import Frame
from streaming.cohort import COHORT_STREAMS
from streaming.feed import Feed, Reader, Ring

logger = logging.getLogger("attune.feeds")


class Feeds:
    """The feeds in use, each with the streams that read it.

    An event is held only against the filters that can match: those that name its execution
    or an ancestor of it, be it one of before, and those that name none.
    """

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._feeds: dict[Filter, Feed] = {}
        self._naming: dict[int, set[Feed]] = {}
        self._broad: set[Feed] = set()
        self._news: set[Feed] = set()
        self.evaluations = 0  # of a filter on an event, so far

    def __len__(self) -> int:
        return len(self._feeds)

    def join(self, filter: Filter, reader: Reader, *, since: int) -> Feed:
        """Return the feed of this filter, made at position `since` where there is none yet."""
        feed = self._feeds.get(filter)
        if feed is None:
            feed = self._feeds[filter] = Feed(filter, self._ring, since=since)
            for execution in _named(filter):
                self._naming.setdefault(execution, set()).add(feed)
            if not _named(filter):
                self._broad.add(feed)
        feed.readers.add(reader)
        return feed

    def leave(self, feed: Feed, reader: Reader) -> None:
        feed.readers.discard(reader)
        if feed.readers or self._feeds.get(feed.filter) is not feed:
            return
        del self._feeds[feed.filter]
        self._broad.discard(feed)
        self._news.discard(feed)
        feed.close()
        for execution in _named(feed.filter):
            naming = self._naming[execution]
            naming.discard(feed)
            if not naming:
                del self._naming[execution]

    def needed(self, shards: Callable[[Filter], frozenset[int]]) -> frozenset[int]:
        """Return what `shards` says of all filters in use, together."""
        return frozenset().union(*map(shards, self._feeds))

    def put(self, frames: Iterable[Frame]) -> bool:
        """Put each frame, which the ring has already, where it belongs.

        Returns whether there is anything to `flush`.
        """
        for frame in frames:
            candidates = self._candidates(frame.event)
            self.evaluations += len(candidates)
            for feed in candidates:
                if feed.filter.matches(frame.event):
                    feed.append(frame)
                    self._news.add(feed)
        return bool(self._news)

    def flush(self) -> Iterator[int]:
        """Let the streams take what is new to them, some COHORT_STREAMS at a time.

        Yields how many events those took.
        """
        news, self._news = self._news, set()
        readers = [(feed, reader) for feed in news for reader in feed.readers]
        streams, taken, now = 0, 0, time.monotonic()
        for feed, reader in readers:
            if reader not in feed.readers:
                continue  # it has left since the round began
            streams += reader.count
            try:
                taken += reader.push(now)
            except Exception:  # one stream's trouble is not the others'
                fields = getattr(reader, "fields", {})
                logger.exception("action=push", extra={logs.EXTRA: fields})
                reader.wake()
            if streams >= COHORT_STREAMS:
                yield taken
                streams, taken, now = 0, 0, time.monotonic()
        if streams:
            yield taken

    def restart(self, seq: int) -> None:
        """Make every feed begin anew at `seq`, and tell the streams."""
        for feed in self._feeds.values():
            feed.restart(seq)
            for reader in tuple(feed.readers):
                reader.wake()

    def trim(self) -> None:
        """Let go of joined chunks, which are kept for a moment."""
        self._ring.forget_joined()

    def _candidates(self, event: Event) -> set[Feed]:
        found = self._broad
        above = (*(event.ancestors or ()), *(event.old_ancestors or ()))
        for execution in (event.execution, *above):
            naming = self._naming.get(execution)
            if naming:
                found = found | naming
        return found


def _named(filter: Filter) -> frozenset[int]:
    return filter.roots or filter.executions
