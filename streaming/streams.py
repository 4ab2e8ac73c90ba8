"""The open streams of a process, and the clock's look at them.

Thousands of quiet streams must cost next to nothing: none is looked at before its time has
come, but for the few whose client has not taken everything yet.
"""

from __future__ import annotations

from typing import Protocol

from streaming import metrics

TICK_SECONDS = 0.5


class OpenStream(Protocol):
    """What the clock asks of a stream; all times are of time.monotonic()."""

    @property
    def hanging_since(self) -> float:
        """When the write in hand began; infinite where none is."""

    @property
    def unsent(self) -> int:
        """How many bytes this process holds that the client has not taken."""

    def due(self, now: float) -> float:
        """Do what is due, such as a heartbeat; return when to be asked again."""

    def attend(self, now: float) -> bool:
        """Look at a write that hangs, or a log to try again; False where there is none."""

    def wake(self) -> None:
        """Look for a reason to end."""

    def cut(self) -> None:
        """Cut the connection at once."""


class Streams:
    """Streams by the tick in which each is due, and those that every tick looks at."""

    def __init__(self, *, slow_client_seconds: float, unsent_bytes: int) -> None:
        self._slow_client_seconds = slow_client_seconds
        self._unsent_bytes = unsent_bytes
        self._tick_of: dict[OpenStream, int] = {}
        self._by_tick: dict[int, set[OpenStream]] = {}
        self._attended: set[OpenStream] = set()
        self.ended = 0

    def __len__(self) -> int:
        return len(self._tick_of)

    def add(self, stream: OpenStream, *, at: float) -> None:
        """Take in a stream that is due `at` that time."""
        tick = int(at / TICK_SECONDS) + 1
        self._tick_of[stream] = tick
        self._by_tick.setdefault(tick, set()).add(stream)

    def discard(self, stream: OpenStream) -> None:
        self.ended += 1
        tick = self._tick_of.pop(stream)
        due = self._by_tick.get(tick)
        if due is not None:
            due.discard(stream)
        self._attended.discard(stream)

    def attend(self, stream: OpenStream) -> None:
        """Look at this stream at every tick, until it says that there is nothing to see."""
        self._attended.add(stream)

    def look(self, now: float) -> None:
        """Give those their turn that are due or attended; cut where too much is unsent."""
        for tick in [tick for tick in self._by_tick if tick <= now / TICK_SECONDS]:
            for stream in self._by_tick.pop(tick):
                self.add(stream, at=max(stream.due(now), now))
        self._attended = {stream for stream in self._attended if stream.attend(now)}
        self._bound_unsent(now)

    def wake(self) -> None:
        for stream in tuple(self._tick_of):
            stream.wake()

    def cut(self) -> None:
        for stream in tuple(self._tick_of):
            stream.cut()

    def _bound_unsent(self, now: float) -> None:
        """Cut those that hang longest while all together hold more than they may."""
        slow = now - self._slow_client_seconds
        metrics.SLOW.set(sum(stream.hanging_since < slow for stream in self._attended))
        unsent = sum(stream.unsent for stream in self._attended)
        metrics.UNSENT.set(unsent)
        excess = unsent - self._unsent_bytes
        if excess > 0:
            for stream in sorted(self._attended, key=lambda s: s.hanging_since):
                excess -= stream.unsent
                stream.cut()
                if excess <= 0:
                    break
