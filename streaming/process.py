"""What a web process has one of: the hub, and the rights of the users it streams to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from django.conf import settings

from executions.database import conninfo
from streaming.access import AccessRegistry
from streaming.hub import Hub
from streaming.layer import Layer
from streaming.replay import LogReader
from streaming.shutdown import Shutdown


@dataclass(frozen=True, slots=True)
class Streaming:
    """The parts that every stream of the process shares."""

    hub: Hub
    accesses: AccessRegistry
    admissions: asyncio.Semaphore  # each admission takes a PostgreSQL connection for a moment


_streaming: Streaming | None = None
_starting: asyncio.Lock | None = None


async def get_streaming() -> Streaming:
    """Return what the streams of this process share; the first call starts it.

    Daphne tells an application neither when it starts nor when it stops, so there is no
    other moment. A second loop in one process is a mistake, and shows as a RuntimeError.
    """
    global _streaming, _starting
    if _starting is None:
        _starting = asyncio.Lock()
    async with _starting:
        if _streaming is None:
            _streaming = await _start()
    return _streaming


async def _start() -> Streaming:
    limits = settings.ATTUNE
    log = LogReader(conninfo(application="attune hub"), connections=limits.log_connections)
    accesses = AccessRegistry(check_seconds=limits.access_check_seconds)
    hub = Hub(Layer(), log, limits)
    await hub.__aenter__()
    hub.run_beside(accesses.run(), name="access")
    Shutdown(hub, seconds=limits.shutdown_seconds).install()
    return Streaming(hub, accesses, asyncio.Semaphore(limits.admissions))
