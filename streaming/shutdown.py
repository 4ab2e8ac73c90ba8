"""Ending the streams of a process before its server ends the process.

Neither server does so: on SIGTERM daphne leaves without running a single `finally`, and uvicorn
waits for streams that never end. Both have set their signal handler by the time the hub
starts; ours comes before it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import signal
import threading
from types import FrameType
from typing import Any

from streaming.hub import Hub
from streaming.slots import Slots

logger = logging.getLogger("attune.shutdown")


class Shutdown:
    """Drains the hub at the first SIGTERM or SIGINT, then passes the signal on."""

    def __init__(self, hub: Hub, slots: Slots, *, seconds: float) -> None:
        self._hub = hub
        self._slots = slots
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._previous: dict[int, Any] = {}
        self._draining: asyncio.Task[None] | None = None

    def install(self) -> None:
        """Take over the signals; does nothing outside of the main thread, where none arrive."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        # In no request's context, whichever runs in this moment.
        self._loop.call_soon_threadsafe(self._begin, number, context=contextvars.Context())

    def _begin(self, number: int) -> None:
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(number), name="shutdown")
        else:
            self._pass_on(number)  # asked twice: at once, then

    async def _drain(self, number: int) -> None:
        logger.info("action=drain streams=%d", len(self._hub.streams))
        try:
            await self._hub.drain(self._seconds)
            await self._slots.leave()
        finally:
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        previous = self._previous[number]
        if callable(previous):
            previous(number, None)
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
