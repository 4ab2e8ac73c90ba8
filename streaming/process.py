"""What a web process has one of: the hub, and the rights of the users it streams to."""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import dataclass

from django.conf import settings

from executions.database import conninfo
from streaming import metrics
from streaming.access import AccessRegistry
from streaming.admission import Admissions
from streaming.garbage import Garbage
from streaming.health import Health
from streaming.hub import Hub
from streaming.layer import Layer
from streaming.pings import Pings
from streaming.replay import LogReader
from streaming.shutdown import Shutdown
from streaming.slots import SlotLimits, Slots


@dataclass(frozen=True, slots=True)
class Streaming:
    """The parts that every stream of the process shares."""

    hub: Hub
    accesses: AccessRegistry
    admissions: Admissions
    slots: Slots
    health: Health


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
            # In no request's context: the hub outlives the one that happens to be the first.
            starting = asyncio.create_task(_start(), context=contextvars.Context())
            _streaming = await starting
    return _streaming


async def _start() -> Streaming:
    limits = settings.ATTUNE
    metrics.begin_web()
    log = LogReader(
        conninfo(application="attune hub"),
        connections=limits.log_connections,
        bouncer=bool(settings.LISTEN_DATABASE),
    )
    accesses = AccessRegistry(check_seconds=limits.access_check_seconds)
    hub = Hub(Layer.all(), log, limits)
    await hub.__aenter__()
    Garbage(hub.streams).install()
    hub.run_beside(accesses.run(), name="access")
    slots = Slots(settings.REDIS_URLS[0], _slot_limits(), prefix=settings.REDIS_PREFIX)
    await slots.enter()
    hub.run_beside(slots.run(), name="slots")
    Shutdown(hub, slots, seconds=limits.shutdown_seconds).install()
    health = Health(hub, Pings(settings.REDIS_URLS))
    return Streaming(hub, accesses, Admissions(), slots, health)


def _slot_limits() -> SlotLimits:
    limits = settings.ATTUNE
    return SlotLimits(
        per_user=limits.streams_per_user,
        per_address=limits.streams_per_address,
        lease_seconds=limits.stream_lease_seconds,
        hold_seconds=limits.max_lifetime_seconds,
    )
