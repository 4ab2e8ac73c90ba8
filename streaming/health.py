"""Whether this process can serve streams, and what is missing where it cannot."""

from __future__ import annotations

import asyncio
import time

from streaming.checks import OK, WORKER_SILENCE_SECONDS, Check, Report
from streaming.hub import Hub
from streaming.pings import Pings
from streaming.replay import LogUnavailable

# For how long an answer does for others who ask.
FRESH_SECONDS = 0.2


class Health:
    """Looks after everything, once for all who ask in the same moment."""

    def __init__(self, hub: Hub, pings: Pings) -> None:
        self._hub = hub
        self._pings = pings
        self._looking = asyncio.Lock()
        self._looked_at = 0.0
        self._report: Report | None = None

    async def report(self) -> Report:
        async with self._looking:
            if self._report is None or time.monotonic() > self._looked_at + FRESH_SECONDS:
                self._report = await self._look()
                self._looked_at = time.monotonic()
            return self._report

    async def _look(self) -> Report:
        database, layer = await asyncio.gather(self._database(), self._layer())
        return Report(
            {
                "database": database,
                "layer": layer,
                "hub": Check.of(self._hub_state(), self._hub.ticked),
                "worker": Check.of(await self._worker_state(), self._hub.heard),
            }
        )

    async def _database(self) -> Check:
        state = OK
        try:
            await self._hub.log.state()
        except LogUnavailable:
            state = "the log cannot be read"
        return Check.of(state, self._hub.log.answered)

    async def _layer(self) -> Check:
        wrong = await self._pings.ask()
        state = "; ".join(f"Redis {number}: {error}" for number, error in wrong.items()) or OK
        return Check.of(state, min(self._pings.answered))

    def _hub_state(self) -> str:
        if not self._hub.alive:
            return "a task of the hub has ended; restart this process"
        return "this process is about to end" if self._hub.closing else OK

    async def _worker_state(self) -> str:
        if self._hub.silent_seconds <= WORKER_SILENCE_SECONDS:
            return OK
        try:
            connected = await self._hub.log.workers()
        except LogUnavailable:
            return "unknown: neither heard nor to be looked up"
        if connected:
            return "nothing heard through the channel layer; is Redis up?"
        return "none is connected; start manage.py runworker"


async def has_worker(hub: Hub) -> bool:
    """Say whether anybody numbers events; asks the database only where nobody is heard.

    Raises LogUnavailable.
    """
    return hub.silent_seconds <= WORKER_SILENCE_SECONDS or await hub.log.workers() > 0
