"""The hub of this process."""

from __future__ import annotations

import asyncio

from django.conf import settings

from executions.database import conninfo
from streaming.hub import Hub
from streaming.layer import Layer
from streaming.replay import LogReader

_hub: Hub | None = None
_starting: asyncio.Lock | None = None


async def get_hub() -> Hub:
    """Return the process's hub; the first call starts it, in the loop that serves requests.

    Daphne tells an application neither when it starts nor when it stops, so there is no
    other moment. A second loop in one process is a mistake, and shows as a RuntimeError.
    """
    global _hub, _starting
    if _starting is None:
        _starting = asyncio.Lock()
    async with _starting:
        if _hub is None:
            log = LogReader(
                conninfo(application="attune hub"), connections=settings.ATTUNE.log_connections
            )
            hub = Hub(Layer(), log, settings.ATTUNE)
            await hub.__aenter__()
            _hub = hub
    return _hub


async def close_hub() -> None:
    """Stop the hub, where there is one."""
    global _hub, _starting
    if _hub is not None:
        await _hub.__aexit__(None, None, None)
    _hub = _starting = None
