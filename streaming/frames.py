"""The control frames of a stream: everything in it that is not an execution's event. Pure."""

from __future__ import annotations

import functools
import json
from datetime import datetime
from typing import Any

from executions.positions import Position
from streaming import sse


def connected(
    position: Position,
    *,
    resumed: bool,
    heartbeat_seconds: float,
    expires_at: datetime | None,
    retry_milliseconds: int,
) -> bytes:
    """Encode the first frame. Its id is where the stream starts, not where the log ends."""
    data = {
        "epoch": position.epoch,
        "seq": position.seq,
        "resumed": resumed,
        "heartbeat_seconds": heartbeat_seconds,
        "expires_at": expires_at.isoformat() if expires_at is not None else None,
    }
    return _control("connected", data, id=str(position), retry_milliseconds=retry_milliseconds)


@functools.lru_cache(maxsize=2)  # quiet streams are all at the same place
def heartbeat(position: Position) -> bytes:
    """Encode a sign of life, which moves the cursor without an event."""
    return sse.heartbeat(id=str(position))


def reset(reason: str, position: Position) -> bytes:
    """Encode: what was missed cannot be told, fetch the state anew; then from `position`."""
    return _control(
        "reset",
        {"reason": reason, "epoch": position.epoch, "seq": position.seq},
        id=str(position),
    )


def snapshot(position: Position, rows: list[str], *, complete: bool) -> bytes:
    """Encode the state at `position`; each row is JSON in the words of an event."""
    text = f'{{"executions":[{",".join(rows)}],"complete":{json.dumps(complete)}}}'
    return sse.event(text, id=str(position), name="snapshot")


def end(id: str, statuses: dict[int, str]) -> bytes:
    """Encode: all that was watched has ended, and this stream with it."""
    executions = [{"id": key, "status": status} for key, status in sorted(statuses.items())]
    return _control("end", {"executions": executions}, id=id)


def close(reason: str, *, reconnect: bool, retry_milliseconds: int | None = None) -> bytes:
    """Encode the last frame of a stream that the server ends."""
    data = {"reason": reason, "reconnect": reconnect}
    return _control("close", data, retry_milliseconds=retry_milliseconds)


def _control(
    name: str, data: dict[str, Any], *, id: str | None = None, retry_milliseconds: int | None = None
) -> bytes:
    text = json.dumps(data, separators=(",", ":"))
    return sse.event(text, id=id, name=name, retry_milliseconds=retry_milliseconds)
