from __future__ import annotations

from typing import Any

import msgpack
import pytest

from executions.eventlog import Event
from streaming import messages
from streaming.messages import Batch, MessageError


def event(seq: int, body: str = "{}") -> Event:
    return Event(seq, 7, 1, "UPDATE", "running", "requested", "tests.run", 3, [3, 2], body)


def test_it_round_trips_through_msgpack() -> None:
    batch = Batch("5f1c", 4, (event(3, '{"text": "é😀"}'), event(4)))
    packed = msgpack.packb(messages.encode(batch))
    assert messages.decode(msgpack.unpackb(packed)) == batch
    assert batch.first_seq == 3


def test_it_carries_a_bare_position() -> None:
    batch = messages.decode(messages.encode(Batch("5f1c", 4, ())))
    assert (batch.first_seq, batch.last_seq) == (5, 4)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "other", "epoch": "5f1c", "last_seq": 1, "events": []},
        {"type": messages.TYPE, "epoch": "5f1c", "last_seq": "x", "events": []},
        {"type": messages.TYPE, "epoch": "5f1c", "last_seq": 1, "events": [[1, 2]]},
        {"type": messages.TYPE, "epoch": "5f1c", "last_seq": 1, "events": None},
        {"type": messages.TYPE, "epoch": "5f1c", "last_seq": 1, "events": [event(1)[:10]]},
    ],
)
def test_it_refuses_what_is_not_ours(message: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        messages.decode(message)


def test_it_refuses_events_with_a_gap() -> None:
    message = messages.encode(Batch("5f1c", 4, (event(2), event(4))))
    with pytest.raises(MessageError, match="consecutive"):
        messages.decode(message)


def test_it_never_takes_a_stretch_for_covered_whose_events_it_cannot_read() -> None:
    """Of a worker of another version; or the events would be missing, and nobody would know."""
    message = messages.encode(Batch("5f1c", 9, (event(4),), 3)) | {"events": [event(4)[:10]]}
    try:
        batch = messages.decode(message)
    except MessageError:
        return
    assert (batch.first_seq, batch.events) == (10, ())
