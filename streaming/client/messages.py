"""What a stream tells, as values. Pure.

`docs/stream.md` of attune is the contract. Keys that are not known here are left in `raw`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from .errors import ProtocolError
from .parser import Frame

# The event's own keys around its result: a text of a user's has its quotes escaped.
_RESULT, _AFTER_RESULT = ',"result":', ',"created":"'
# The server's own definition is `executions/status.py`; a test holds the two together.
TERMINAL = frozenset({"completed", "failed", "cancelled", "timeout", "abandoned"})


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution as of an event. Times are aware; `result` is None where it was cut."""

    id: int
    status: str
    action_ref: str
    action_id: int | None
    parent: int | None
    enforcement: int | None
    executor: int | None
    result: Any
    created: datetime
    updated: datetime
    started: datetime | None
    finished: datetime | None

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class Event:
    """One change of an execution; or its state, where `op` is `SNAPSHOT`.

    `id` is the cursor after it: what to resume from; empty before the last row of a snapshot, which
    would not be told again. `truncated`: the result is too large for a stream. `raw` is the event
    as it was sent.
    """

    id: str
    op: str
    version: int
    old_status: str | None
    timestamp: datetime
    truncated: bool
    execution: Execution
    raw: Mapping[str, Any]

    @property
    def moved(self) -> bool:
        """Whether it has another parent than before; all that is below it has moved with it."""
        return "old_parent" in self.raw


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection stands. `resumed`: it goes on where the last one ended."""

    id: str
    resumed: bool
    heartbeat_seconds: float
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of everything that matches, newest execution first.

    Not `complete` where there is more than the server puts into one.
    """

    id: str
    events: tuple[Event, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """Events were missed and cannot be told: what is known by now may be wrong.

    With `snapshot=True` the state follows as a Snapshot; without, it has to be fetched.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """All that `until_terminal` waits for has ended; the last message.

    `statuses` is empty where the server only says that it is over: after a connection that
    was lost in just that moment.
    """

    statuses: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """There is no connection, for `reason`; the next attempt is in `seconds`."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """The server ends this connection. Not passed on: it becomes Waiting or StreamClosed."""

    reason: str
    reconnect: bool


Message: TypeAlias = Event | Connected | Snapshot | Reset | End | Waiting


def decode(frame: Frame) -> Message | Close | None:
    """Return what the frame says; None for a control frame that is not known here.

    Raises ProtocolError where it is not what attune sends.
    """
    try:
        return _decode(frame.event, _parsed(frame), frame.id or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        shown = (frame.data or "")[:200]
        raise ProtocolError(f"cannot read a frame {frame.event!r}: {shown!r}") from exc


def _parsed(frame: Frame) -> Any:
    """Return the data; of an event whose result Python cannot hold, as if it were too large."""
    text = frame.data or ""
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        if frame.event != "message":
            raise
        begin = text.index(_RESULT) + len(_RESULT)
        data = json.loads(f"{text[:begin]}null{text[text.rindex(_AFTER_RESULT) :]}")
        return {**data, "truncated": True}


def _integer(digits: str) -> int | Decimal:
    try:
        return int(digits)
    except ValueError:  # more digits than Python takes for an int
        return Decimal(digits)


def _decode(name: str, data: dict[str, Any], id: str) -> Message | Close | None:
    if name == "message":
        return _event(data, id)
    if name == "connected":
        beat = float(data["heartbeat_seconds"])
        return Connected(id, bool(data["resumed"]), beat, _time(data["expires_at"]))
    if name == "snapshot":
        rows = data["executions"]
        ids = [""] * (len(rows) - 1) + [id]
        events = tuple(_event(row, its) for row, its in zip(rows, ids, strict=False))
        return Snapshot(id, events, bool(data["complete"]))
    if name == "reset":
        return Reset(str(data["reason"]))
    if name == "end":
        return End({int(row["id"]): str(row["status"]) for row in data["executions"]})
    if name == "close":
        return Close(str(data["reason"]), bool(data["reconnect"]))
    return None


def _event(raw: dict[str, Any], id: str) -> Event:
    data = raw["data"]
    return Event(
        id=id,
        op=str(raw["op"]),
        version=int(raw["version"]),
        old_status=raw.get("old_status"),
        timestamp=datetime.fromisoformat(raw["timestamp"]),
        truncated=bool(raw.get("truncated", False)),
        execution=Execution(
            id=int(data["id"]),
            status=str(data["status"]),
            action_ref=str(data["action_ref"]),
            action_id=data.get("action_id"),
            parent=data.get("parent"),
            enforcement=data.get("enforcement"),
            executor=data.get("executor"),
            result=data.get("result"),
            created=datetime.fromisoformat(data["created"]),
            updated=datetime.fromisoformat(data["updated"]),
            started=_time(data.get("started")),
            finished=_time(data.get("finished")),
        ),
        raw=raw,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None
