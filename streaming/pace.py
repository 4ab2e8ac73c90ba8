"""When to write: at once while there is little to do, less often when there is much.

A write costs a system call, which is most of what a delivery costs. Under load, several
events that are written together cost hardly more than one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

# After a round of writes, rest for so many times as long as it took, but for no longer than so many
# seconds less three rounds (25 ms at most, after one of 6 ms), or than LONG_REST_SECONDS, or than
# a part of a round that took long. So more events share a write where writes are fast, and none
# waits longer where they are slow.
REST = 4.0
SHORT_REST_SECONDS = 0.044
LONG_REST_SECONDS = 0.009
LONG_REST = 0.5
# After a turn of the event loop that took longer, steps may take as long as it did: a thousand
# clients that come at once must not make a round for those who are there a hundred such turns long.
LONG_TURN_SECONDS = 0.005


class Pace:
    """Goes through a round of `work` soon after each `request`; several may get one round.

    A request does not wait for its round where the last one was long ago or cheap, and else for
    at most 25 ms, or half as long as the last one took. Between two steps of a round the event
    loop does whatever else there is to do: what comes in meanwhile goes out with the steps that
    are left.
    """

    def __init__(self, work: Callable[[], Iterator[object]]) -> None:
        self._work = work
        self._requested = False
        self._planned: asyncio.Handle | None = None  # the next step, of a round or to one
        self._began = 0.0  # the round; in time.monotonic()
        self._stepped = 0.0  # the end of the last step; the same
        self._rests_until = 0.0  # the same

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
            self._planned = asyncio.get_running_loop().call_later(wait, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        self._began = self._stepped = time.monotonic()
        self._requested = False
        self._step(self._work())

    def _step(self, steps: Iterator[object]) -> None:
        loop = asyncio.get_running_loop()
        # In the next turn of the loop: uvloop makes the system calls at the end of this one.
        self._planned = loop.call_soon(self._rest)
        now = time.monotonic()
        turn = now - self._stepped
        until = now + turn if turn > LONG_TURN_SECONDS else now
        for _ in steps:
            self._stepped = time.monotonic()
            if self._stepped >= until:
                self._planned.cancel()
                self._planned = loop.call_soon(self._step, steps)
                return

    def _rest(self) -> None:
        now = time.monotonic()
        self._planned = None
        took = now - self._began
        rest = max(SHORT_REST_SECONDS - 3 * took, LONG_REST_SECONDS, took * LONG_REST)
        self._rests_until = now + min(took * REST, rest)
        if self._requested:
            self._plan()
