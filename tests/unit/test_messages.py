from __future__ import annotations

from typing import Any

import msgpack
import pytest

from executions.eventlog import Event
from streaming import messages
from streaming.messages import Batch, MessageError
from tests.servers import PROJECT


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
        {"type": messages.TYPE, "epoch": "5f1c", "last_seq": 1, "events": [3]},
        {"type": messages.TYPE, "epoch": "5f1c", "last_seq": 1, "events": None},
    ],
)
def test_it_refuses_what_is_not_ours(message: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        messages.decode(message)


def old_message() -> dict[str, Any]:
    """A message of two events, as a worker of before 0007_moves packed it."""
    packed = (PROJECT / "tests" / "fixtures" / "message-0006.msgpack").read_bytes()
    message: dict[str, Any] = msgpack.unpackb(packed)
    return message


def test_it_takes_the_position_of_a_worker_of_before() -> None:
    assert messages.decode(old_message()) == Batch("5f1c09ab", 2, ())


def test_it_takes_the_position_of_a_worker_of_later() -> None:
    later = (*event(4), "what nobody knows yet")
    message = {**messages.encode(Batch("5f1c", 4, ())), "events": [later]}
    assert messages.decode(message) == Batch("5f1c", 4, ())


def test_it_writes_what_web_processes_of_before_take_for_a_message() -> None:
    """They look at these keys; what is in the events they read from the log."""
    ours, old = messages.encode(Batch("5f1c", 4, (event(4),))), old_message()
    assert ours.keys() == old.keys()
    assert ours["type"] == old["type"]
    assert [type(ours[key]) for key in ("epoch", "last_seq")] == [str, int]
    # One more field, and not other ones: see `Event`.
    assert [type(value) for value in old["events"][1]] == [type(v) for v in event(4)[:10]]
    assert len(ours["events"][0]) > len(old["events"][0])


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
