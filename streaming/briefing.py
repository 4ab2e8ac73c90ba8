"""What one client is told beside the events: the state, a reset, and the end that it waits for."""

from __future__ import annotations

import logging
import math
import time

from executions.eventlog import Event
from executions.filters import Filter
from executions.positions import Position
from streaming import frames, metrics
from streaming.beginning import AlreadyEnded, Beginning, Start, TooManyToWatch, begin, watching
from streaming.chunks import Chunk
from streaming.filters import StreamRequest
from streaming.hub import Hub
from streaming.subscriber import Reset
from streaming.watch import Watch

logger = logging.getLogger("attune.stream")


class Briefing:
    """The versions a client knows by its snapshot, and what has still to end for it."""

    def __init__(self, hub: Hub, asked: StreamRequest) -> None:
        self._hub = hub
        self._asked = asked
        self._known: dict[int, int] = {}
        self._watch: Watch | None = None
        self.over = False  # all that it waits for has ended, and it has been told

    @property
    def is_plain(self) -> bool:
        """Whether every event that matches is passed on as it is."""
        return not (self._known or self._asked.holds_back) and self._watch is None

    @property
    def watch_again_at(self) -> float:
        """When to look up anew what there is to wait for, in time.monotonic()."""
        return self._watch.stale_at if self._watch is not None else math.inf

    @property
    def is_ending(self) -> bool:
        """Whether it only waits until the client has been told all that was before the end."""
        return self._watch is not None and self._watch.done and not self.over

    def begin(self, beginning: Beginning) -> bytes:
        """Return reset, snapshot and end, as far as the beginning has them."""
        self._watch, self._known = beginning.watch, beginning.known
        start, data = beginning.start, b""
        if start.reset_reason is not None:
            metrics.RESETS.labels(start.reset_reason).inc()
            data += frames.reset(start.reset_reason, start.position)
        if beginning.snapshot is not None:
            snapshot = beginning.snapshot
            data += frames.snapshot(snapshot.position, snapshot.rows, complete=snapshot.complete)
        return data + self.end_if_done(start.position)

    async def after(self, reset: Reset, filter: Filter) -> Beginning:
        """Return how to begin anew, for `begin`; raises LogUnavailable."""
        start = Start(reset.position, reset_reason=reset.reason)
        try:
            return await begin(self._hub, self._asked, filter, start)
        except (AlreadyEnded, TooManyToWatch):
            return Beginning(start)

    async def watch_again(self, filter: Filter, position: Position) -> None:
        """Look up what there is to wait for; raises LogUnavailable."""
        try:
            self._watch = await watching(self._hub, filter, epoch=position.epoch)
        except TooManyToWatch:
            self._watch = None

    def look_again(self, now: float) -> None:
        """Called where other executions may be seen than before."""
        if self._watch is not None:
            self._watch.stale_at = min(self._watch.stale_at, now)

    def pass_on(self, chunk: Chunk, epoch: str) -> bytes:
        """Return the chunk's bytes, less what the client knows and what follows its end."""
        if self.is_plain:
            metrics.EVENTS_OUT.inc(len(chunk.frames))
            return chunk.data
        parts = []
        for frame in chunk.frames:
            if not self._is_known(frame.event) and self._is_asked_for(frame.event):
                parts.append(frame.data)
            if self._watch is not None:
                self._watch.see(frame.event, time.monotonic())
                parts.append(self.end_if_done(Position(epoch, frame.event.seq)))
                if self.over:
                    break
        metrics.EVENTS_OUT.inc(sum(map(bool, parts)) - self.over)
        return b"".join(parts)

    def _is_asked_for(self, event: Event) -> bool:
        """Say whether the client is to be told, of what the stream heard of because of its end."""
        if not self._asked.holds_back:
            return True
        filter = self._asked.filter
        in_tree = bool(filter.roots) and event.old_ancestors is not None
        return in_tree or not filter.statuses.isdisjoint((event.status, event.old_status))

    def _is_known(self, event: Event) -> bool:
        version = self._known.get(event.execution)
        if version is None:
            return False
        if event.version >= version:
            del self._known[event.execution]
        return event.version <= version

    def end_if_done(self, position: Position) -> bytes:
        """Return the end, once there is nothing left to wait for, nor to tell before."""
        if self._watch is None or not self._watch.is_over(position.seq):
            return b""
        self.over = True
        metrics.CLOSES.labels("end").inc()
        logger.info("action=stream state=ended reason=end")
        return frames.end(str(position), self._watch.statuses)
