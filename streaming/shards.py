"""Several Redis servers for one log: which events go where, and how they become one again. Pure.

A shard carries the events of its packs. Every message says which stretch of the log it covers,
also where nothing of that is the shard's: so whoever follows some of the shards knows, of every
position, whether there is anything before it that has not come yet.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable

from executions.eventlog import Event
from executions.filters import Filter
from streaming.messages import Batch


@functools.lru_cache(maxsize=4096)
def shard_of(pack: str, count: int) -> int:
    """Return the shard, of `count`, that carries the events of a pack; the same everywhere."""
    return zlib.crc32(pack.encode()) % count


def shards_of(event: Event, count: int) -> set[int]:
    """Return the shards of an event: of one that moved to another pack, both."""
    refs = (event.action_ref, event.old_action_ref or event.action_ref)
    return {shard_of(ref.partition(".")[0], count) for ref in refs}


def needed(filter: Filter, count: int) -> frozenset[int]:
    """Return the shards that carry all that a filter may take."""
    packs = filter.only_packs
    return frozenset(shard_of(p, count) for p in packs) if packs else frozenset(range(count))


def split(batch: Batch, count: int) -> list[Batch]:
    """Return what each shard is sent: all of the stretch, and its own events of that."""
    parts: list[list[Event]] = [[] for _ in range(count)]
    for event in batch.events:
        for shard in shards_of(event, count):
            parts[shard].append(event)
    return [Batch(batch.epoch, batch.last_seq, tuple(p), batch.first_seq) for p in parts]


class Merge:
    """Puts the events of several shards back into the order of the log.

    What one shard is ahead of the others waits, and is counted by `waiting`.
    """

    def __init__(self, shards: Iterable[int]) -> None:
        self._upto = dict.fromkeys(shards, 0)  # by shard: it has brought all of its own up to here
        self._waiting: dict[int, Event] = {}
        self._held_since = float("inf")

    @property
    def shards(self) -> frozenset[int]:
        return frozenset(self._upto)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def add(self, shard: int, seq: int) -> None:
        """Follow one more shard from position `seq` on, where all the others stand, too."""
        self._upto[shard] = seq

    def drop(self, shard: int) -> None:
        """Follow a shard no longer; some other one is left."""
        del self._upto[shard]

    def misses(self, shard: int, batch: Batch) -> bool:
        """Say whether something before this batch has not come by its shard."""
        return batch.first_seq > self._upto[shard] + 1

    def take(self, shard: int, batch: Batch, now: float) -> tuple[list[Event], int]:
        """Take in what a shard brings; return the events that are next, and how far they reach."""
        known, before = self._upto[shard], min(self._upto.values())
        self._waiting.update((event.seq, event) for event in batch.events if event.seq > known)
        self._upto[shard] = max(known, batch.last_seq)
        upto = min(self._upto.values())
        if upto == max(self._upto.values()):
            self._held_since = float("inf")
        elif upto > before or self._held_since > now:
            self._held_since = now
        ready = sorted(seq for seq in self._waiting if seq <= upto) if self._waiting else []
        return [self._waiting.pop(seq) for seq in ready], upto

    def held_back(self, now: float) -> float:
        """Return for how many seconds one shard has kept all others waiting."""
        return max(0.0, now - self._held_since)

    def reach(self, seq: int) -> None:
        """Take note that everything up to `seq` came another way."""
        self._upto = {shard: max(upto, seq) for shard, upto in self._upto.items()}
        self._waiting = {key: event for key, event in self._waiting.items() if key > seq}
        self._held_since = float("inf")

    def restart(self, seq: int) -> None:
        """Begin anew at `seq`: what came before is of another log."""
        self._upto = dict.fromkeys(self._upto, seq)
        self._waiting.clear()
        self._held_since = float("inf")
