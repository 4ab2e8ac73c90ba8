"""When to write: at once while there is little to do, less often when there is much.

A write costs a system call, which is most of what a delivery costs. Under load, several
events that are written together cost hardly more than one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# After a round of writes, rest for so many times as long as it took, but not for longer.
REST = 2.0
MAX_REST_SECONDS = 0.02


class Pace:
    """Calls `work` soon after each `request`; several requests may get one call.

    A request waits at most MAX_REST_SECONDS, and not at all where the last round was cheap.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._requested = False
        self._planned: asyncio.Handle | None = None  # the work itself, or its end
        self._rests_until = 0.0  # in time.monotonic()

    def request(self) -> None:
        self._requested = True
        if self._planned is None:
            self._plan()

    def close(self) -> None:
        if self._planned is not None:
            self._planned.cancel()

    def _plan(self) -> None:
        wait = self._rests_until - time.monotonic()
        if wait > 0:
            self._planned = asyncio.get_running_loop().call_later(wait, self._run)
        else:
            self._run()

    def _run(self) -> None:
        began = time.monotonic()
        self._requested = False
        # In the next turn of the loop: uvloop makes the system calls at the end of this one.
        self._planned = asyncio.get_running_loop().call_soon(self._rest, began)
        self._work()

    def _rest(self, began: float) -> None:
        now = time.monotonic()
        self._planned = None
        self._rests_until = now + min((now - began) * REST, MAX_REST_SECONDS)
        if self._requested:
            self._plan()
