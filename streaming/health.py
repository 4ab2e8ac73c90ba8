"""Whether this process can serve streams, and what is missing where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streaming.process import get_streaming
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


async def report() -> Report:
    hub = (await get_streaming()).hub
    try:
        await hub.log.state()
        database = "ok"
    except LogUnavailable:
        database = "the log cannot be read"
    silent = hub.silent_seconds
    worker = "ok"
    if silent > WORKER_SILENCE_SECONDS:
        worker = "nothing heard through the channel layer; is a worker running, and Redis?"
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
