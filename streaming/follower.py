"""Following the shards of the channel layer, for the hub."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from executions.eventlog import LogState
from executions.positions import Position
from streaming import metrics
from streaming.layer import Layer, LayerError
from streaming.messages import Batch, MessageError
from streaming.replay import LogUnavailable
from streaming.shards import Merge

logger = logging.getLogger("attune.hub")

RETRY_SECONDS = (0.1, 1.0)  # first and longest wait after a failure
# How often to look for shards that no stream needs; one is left when that was so twice.
NARROW_SECONDS = 10.0


class Hub(Protocol):
    """What a follower asks of the hub."""

    position: Position

    async def refresh(self) -> LogState:
        """Read the log up to its end; raises LogUnavailable."""

    async def take(self, shard: int, batch: Batch) -> None:
        """Take over what a shard has brought; raises LogUnavailable."""


class Follower:
    """Subscribes to one shard while it is `wanted`; any trouble only makes the hub read the log."""

    def __init__(self, hub: Hub, layer: Layer, *, silence_seconds: float) -> None:
        self._hub = hub
        self._layer = layer
        self._silence_seconds = silence_seconds
        self._trouble: str | None = None
        self.wanted = asyncio.Event()
        self.heard = 0.0  # time.monotonic() of the last message from a worker

    async def run(self) -> None:
        """Subscribe, read what was missed, then take messages until something is odd."""
        wait = RETRY_SECONDS[0]
        while True:
            await self.wanted.wait()
            try:
                epoch = (await self._hub.refresh()).epoch
                channel = await self._layer.subscribe(epoch)
                await self._hub.refresh()  # what came before the subscription
                wait = RETRY_SECONDS[0]
                await self._receive(channel, epoch)
            except (LayerError, MessageError, LogUnavailable) as exc:
                self._report(str(exc))
                # Without the layer, the log alone keeps the streams going, if slower.
                with contextlib.suppress(LogUnavailable):
                    await self._hub.refresh()
                # Else what is published meanwhile would pile up in memory.
                await self._layer.close()
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))
                wait = min(wait * 2, RETRY_SECONDS[1])

    async def close(self) -> None:
        await self._layer.close()

    async def _receive(self, channel: str, epoch: str) -> None:
        """Take messages for as long as the epoch lasts and somebody wants them."""
        while self._hub.position.epoch == epoch and self.wanted.is_set():
            batch = await self._layer.receive(channel, seconds=self._silence_seconds)
            self.heard = time.monotonic()
            self._report(None)
            await self._hub.take(self._layer.shard, batch)
        if not self.wanted.is_set():
            await self._layer.close()

    def _report(self, trouble: str | None) -> None:
        """Log a trouble when it begins or becomes another one, and when it is over."""
        if trouble != self._trouble:
            shard = self._layer.shard
            if trouble is None:
                logger.info("action=follow state=recovered shard=%d", shard)
            else:
                logger.warning("action=follow state=degraded shard=%d error=%r", shard, trouble)
            self._trouble = trouble


class Followers:
    """One follower a shard, and the `merge` of what they bring; None with a single shard."""

    def __init__(self, hub: Hub, layers: Sequence[Layer], *, silence_seconds: float) -> None:
        self._all = [Follower(hub, layer, silence_seconds=silence_seconds) for layer in layers]
        self._unneeded: frozenset[int] = frozenset()
        self._narrow_at = time.monotonic() + NARROW_SECONDS
        self.merge = Merge(range(len(layers))) if len(layers) > 1 else None
        for follower in self._all:
            follower.wanted.set()
        metrics.SHARDS.set(len(layers))

    def __iter__(self) -> Iterator[Follower]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def heard(self) -> float:
        """When a worker was last heard, in time.monotonic(); 0 before the first message."""
        return max(follower.heard for follower in self._all)

    def widen(self, merge: Merge, wanted: frozenset[int], seq: int) -> bool:
        """Follow these shards, too, from `seq` on; return whether any of them is new."""
        new = wanted - merge.shards
        for shard in new:
            merge.add(shard, seq)
            self._all[shard].wanted.set()
        metrics.SHARDS.set(len(merge.shards))
        return bool(new)

    def narrow(self, merge: Merge, needed: frozenset[int]) -> None:
        """Leave the shards that no stream needs, nor did the last time."""
        unneeded = merge.shards - needed
        for shard in unneeded & self._unneeded:
            merge.drop(shard)
            self._all[shard].wanted.clear()
        self._unneeded = unneeded & merge.shards
        metrics.SHARDS.set(len(merge.shards))

    def due(self, now: float) -> bool:
        """Say whether it is time to `narrow`."""
        if now < self._narrow_at:
            return False
        self._narrow_at = now + NARROW_SECONDS
        return True
