"""What travels through the channel layer, from the worker to every web process. Pure.

A message carries consecutive events of one epoch, or none and just the position the log
stands at, by which a web process that missed something notices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from executions.eventlog import Event

TYPE = "attune.events"


class MessageError(ValueError):
    """A layer message that is not one of ours."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events `last_seq - len(events) + 1` to `last_seq`, without a gap."""

    epoch: str
    last_seq: int
    events: tuple[Event, ...]

    @property
    def first_seq(self) -> int:
        return self.last_seq - len(self.events) + 1


def encode(batch: Batch) -> dict[str, Any]:
    """Return the batch as plain values, which is what a channel layer takes."""
    return {
        "type": TYPE,
        "epoch": batch.epoch,
        "last_seq": batch.last_seq,
        "events": batch.events,
    }


def decode(message: dict[str, Any]) -> Batch:
    """Return the batch of a layer message; raises MessageError where it is none.

    Of a worker of another version, whose events have other fields, only the position is taken:
    the log has them in ours. So type, epoch and last_seq stay as they are for ever.
    """
    try:
        if message["type"] != TYPE:
            raise MessageError(f"unexpected message type {message['type']!r}")
        batch = Batch(
            str(message["epoch"]),
            int(message["last_seq"]),
            tuple(Event(*fields) for fields in _of_this_version(message["events"])),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise MessageError(f"malformed layer message: {exc!r}") from exc
    for seq, event in enumerate(batch.events, batch.first_seq):
        if event.seq != seq:
            raise MessageError(f"events are not consecutive at {event.seq}, expected {seq}")
    return batch


def _of_this_version(events: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    return events if all(len(fields) == len(Event._fields) for fields in events) else ()
