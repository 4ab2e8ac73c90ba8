"""What travels through the channel layer, from the worker to every web process. Pure.

A message carries consecutive events of one epoch, or none and just the position the log
stands at, by which a web process that missed something notices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from executions.eventlog import Event

TYPE = "attune.events"


class MessageError(ValueError):
    """A layer message that is not one of ours."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events up to `last_seq`, without a gap; or, where `first` is given, those of one shard in
    the stretch from there to `last_seq`."""

    epoch: str
    last_seq: int
    events: tuple[Event, ...]
    first: int | None = None

    @property
    def first_seq(self) -> int:
        return self.last_seq - len(self.events) + 1 if self.first is None else self.first


def encode(batch: Batch) -> dict[str, Any]:
    """Return the batch as plain values, which is what a channel layer takes."""
    message = {
        "type": TYPE,
        "epoch": batch.epoch,
        "last_seq": batch.last_seq,
        "events": batch.events,
    }
    return message if batch.first is None else message | {"first_seq": batch.first}


def decode(message: dict[str, Any]) -> Batch:
    """Return the batch of a layer message; raises MessageError where it is none.

    Of a worker of another version, whose events have other fields, only the position is taken:
    the log has them in ours. So type, epoch and last_seq stay as they are for ever.
    """
    try:
        if message["type"] != TYPE:
            raise MessageError(f"unexpected message type {message['type']!r}")
        epoch, last_seq = str(message["epoch"]), int(message["last_seq"])
        if any(len(fields) != len(Event._fields) for fields in message["events"]):
            return Batch(epoch, last_seq, ())
        first = int(message["first_seq"]) if "first_seq" in message else None
        batch = Batch(epoch, last_seq, tuple(Event(*fields) for fields in message["events"]), first)
    except (KeyError, TypeError, ValueError) as exc:
        raise MessageError(f"malformed layer message: {exc!r}") from exc
    _check_order(batch)
    return batch


def _check_order(batch: Batch) -> None:
    seq = batch.first_seq
    for event in batch.events:
        if event.seq != seq and (batch.first is None or not seq < event.seq <= batch.last_seq):
            raise MessageError(f"events are not consecutive at {event.seq}, expected {seq}")
        seq = event.seq + 1
