"""Keeps the garbage collector from looking at every open stream again and again.

A full collection looks at all there is while everybody waits: 50 ms for a process that has just
started, and as long again for each thousand streams. While thousands of clients return, one
follows upon the other. So what has survived a full collection that took long is set aside, and the
next one looks only at what has come since.
"""

from __future__ import annotations

import gc
import time
from typing import Any, Protocol

LONG_SECONDS = 0.02
# What is set aside can become garbage later, of which cycles would stay. So all of it is looked
# at again once so many streams have ended, or as many as were open when it was set aside.
FEW_STREAMS = 1000


class Streams(Protocol):
    """The open streams; `ended`: how many there were that are not open any more."""

    ended: int

    def __len__(self) -> int: ...


class Garbage:
    """Watches the collector from `install` to `remove`, for one process."""

    def __init__(self, streams: Streams, *, long_seconds: float = LONG_SECONDS) -> None:
        self._streams = streams
        self._long_seconds = long_seconds
        self._began = 0.0  # the collection that runs; in time.monotonic()
        self._enough_ended = 0

    def install(self) -> None:
        """Set aside what is there now; it stays."""
        gc.collect()
        self._set_aside()
        gc.callbacks.append(self._called)

    def remove(self) -> None:
        gc.callbacks.remove(self._called)
        gc.unfreeze()

    def _called(self, phase: str, info: dict[str, Any]) -> None:
        """Called by the collector, in whatever thread it runs."""
        if info["generation"] < 2:
            return
        if phase == "start":
            self._began = time.monotonic()
            if self._streams.ended >= self._enough_ended:
                gc.unfreeze()
        elif time.monotonic() - self._began > self._long_seconds:
            self._set_aside()

    def _set_aside(self) -> None:
        if not gc.get_freeze_count():
            self._enough_ended = self._streams.ended + max(FEW_STREAMS, len(self._streams))
        gc.freeze()
