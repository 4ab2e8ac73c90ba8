"""Whether this process can serve streams, and what is missing where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streaming.hub import Hub
from streaming.replay import LogUnavailable

# A worker announces the position every second; three missed ones are a trouble.
WORKER_SILENCE_SECONDS = 3.5


@dataclass(frozen=True, slots=True)
class Report:
    """One line a dependency: `ok`, or what is wrong with it."""

    database: str
    hub: str
    worker: str

    @property
    def ready(self) -> bool:
        return self.database == self.hub == self.worker == "ok"

    def as_json(self) -> dict[str, Any]:
        return {
            "status": "ok" if self.ready else "unavailable",
            "checks": {"database": self.database, "hub": self.hub, "worker": self.worker},
        }


async def report(hub: Hub) -> Report:
    try:
        await hub.log.state()
        database = "ok"
    except LogUnavailable:
        database = "the log cannot be read"
    worker = "ok"
    if hub.silent_seconds > WORKER_SILENCE_SECONDS:
        worker = await _why_silent(hub)
    state = "ok"
    if not hub.alive:
        state = "a task of the hub has ended; restart this process"
    elif hub.closing:
        state = "this process is about to end"
    return Report(
        database=database,
        hub=state,
        worker=worker,
    )


async def has_worker(hub: Hub) -> bool:
    """Say whether anybody numbers events; asks the database only where nobody is heard.

    Raises LogUnavailable.
    """
    return hub.silent_seconds <= WORKER_SILENCE_SECONDS or await hub.log.workers() > 0


async def _why_silent(hub: Hub) -> str:
    try:
        connected = await hub.log.workers()
    except LogUnavailable:
        return "unknown: neither heard nor to be looked up"
    if connected:
        return "nothing heard through the channel layer; is Redis up?"
    return "none is connected; start manage.py runworker"
