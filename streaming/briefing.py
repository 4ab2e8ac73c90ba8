"""What one client is told beside the events: the state, a reset, and the end that it waits for."""

from __future__ import annotations

import math
import time

from executions.eventlog import Event
from executions.filters import Filter
from executions.positions import Position
from streaming import frames, metrics
from streaming.beginning import AlreadyEnded, Beginning, Start, TooManyToWatch, begin, watching
from streaming.feed import Chunk, Frame
from streaming.filters import StreamRequest
from streaming.hub import Hub
from streaming.subscriber import Reset
from streaming.watch import Watch

# How long after a move in a tree its executions are looked up anew; several together are one.
MOVED_SECONDS = 0.5


class Briefing:
    """The versions a client knows by its snapshot, and what has still to end for it."""

    def __init__(self, hub: Hub, asked: StreamRequest) -> None:
        self._hub = hub
        self._asked = asked
        self._known: dict[int, int] = {}
        self._watch: Watch | None = None
        self.over = False  # all that it waits for has ended, and it has been told
        # Something has come or gone without an event of its own; in time.monotonic().
        self.watch_again_at = math.inf

    @property
    def is_plain(self) -> bool:
        """Whether every event that matches is passed on as it is."""
        return not self._known and self._watch is None

    def begin(self, beginning: Beginning) -> bytes:
        """Return reset, snapshot and end, as far as the beginning has them."""
        self._watch, self._known = beginning.watch, beginning.known
        self.watch_again_at = math.inf
        start, data = beginning.start, b""
        if start.reset_reason is not None:
            metrics.RESETS.labels(start.reset_reason).inc()
            data += frames.reset(start.reset_reason, start.position)
        if beginning.snapshot is not None:
            snapshot = beginning.snapshot
            data += frames.snapshot(snapshot.position, snapshot.rows, complete=snapshot.complete)
        return data + self._end_if_done(start.position)

    async def start_over(self, reset: Reset, filter: Filter) -> tuple[Position, bytes]:
        """Return where to go on, and what to tell; raises LogUnavailable."""
        start = Start(reset.position, reset_reason=reset.reason)
        try:
            beginning = await begin(self._hub, self._asked, filter, start)
        except (AlreadyEnded, TooManyToWatch):
            beginning = Beginning(start)
        return beginning.start.position, self.begin(beginning)

    async def watch_again(self, filter: Filter, position: Position) -> bytes:
        """Look up what there is to wait for, and return the end where that is nothing.

        Raises LogUnavailable.
        """
        try:
            self._watch = await watching(self._hub, filter, since=position)
        except TooManyToWatch:
            self._watch = None
        self.watch_again_at = math.inf
        return self._end_if_done(position)

    def pass_on(self, chunk: Chunk, epoch: str) -> bytes:
        """Return the chunk's bytes, less what the client knows and what follows its end."""
        if self.is_plain:
            metrics.EVENTS_OUT.inc(len(chunk.frames))
            return chunk.data
        parts = []
        for frame in chunk.frames:
            if not self._is_known(frame.event):
                parts.append(frame.data)
            if self._watch is not None:
                self._see(frame, self._watch)
                if self.watch_again_at == math.inf:
                    parts.append(self._end_if_done(Position(epoch, frame.event.seq)))
                if self.over:
                    break
        metrics.EVENTS_OUT.inc(sum(map(bool, parts)) - self.over)
        return b"".join(parts)

    def _see(self, frame: Frame, watch: Watch) -> None:
        if frame.data:
            watch.see(frame.event)
        if self._asked.filter.roots and frame.event.old_ancestors is not None:
            self.watch_again_at = min(self.watch_again_at, time.monotonic() + MOVED_SECONDS)

    def _is_known(self, event: Event) -> bool:
        version = self._known.get(event.execution)
        if version is None:
            return False
        if event.version >= version:
            del self._known[event.execution]
        return event.version <= version

    def _end_if_done(self, position: Position) -> bytes:
        if self._watch is None or not self._watch.done:
            return b""
        self.over = True
        metrics.CLOSES.labels("end").inc()
        return frames.end(str(position), self._watch.statuses)
