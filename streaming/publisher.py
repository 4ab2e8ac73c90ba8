"""The worker's way to the channel layer: every batch to every shard.

What a shard does not take is not kept for it: the web processes read the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from types import TracebackType

from streaming import shards
from streaming.layer import Layer, LayerError
from streaming.messages import Batch

logger = logging.getLogger("attune.worker")

# After a failure a shard is left alone for so long; streams live on the log meanwhile.
REST_SECONDS = 1.0
# How long the others wait for a shard that does not answer, before it is left behind.
PATIENCE_SECONDS = 0.1


class Publisher:
    """All shards of the layer, to be closed by whoever opened it."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._outlets = [_Outlet(layer) for layer in layers]

    async def __aenter__(self) -> Publisher:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for outlet in self._outlets:
            await outlet.close()

    @property
    def resting(self) -> bool:
        """Whether no shard would be sent anything now."""
        return not any(outlet.free for outlet in self._outlets)

    async def publish(self, batch: Batch, *, to_epoch: str | None = None) -> bool:
        """Send the batch, and say whether a shard took it: if not, the hubs will read the log.

        `to_epoch`: to the subscribers of another one, which then learn that theirs is over.
        """
        if len(self._outlets) == 1:
            return await self._outlets[0].send(batch, to_epoch)
        parts = zip(self._outlets, shards.split(batch, len(self._outlets)), strict=True)
        sending = [outlet.begin(part, to_epoch) for outlet, part in parts if outlet.free]
        if not sending:
            return False
        done, _ = await asyncio.wait(sending, timeout=PATIENCE_SECONDS)
        taken = [task.result() for task in done]
        return any(taken)


class _Outlet:
    """One shard, and how it fares."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._rests_until = 0.0
        self._in_trouble = False
        self._sending: asyncio.Task[bool] | None = None

    @property
    def free(self) -> bool:
        """Whether it may be sent something: it neither rests nor still has the one before."""
        idle = self._sending is None or self._sending.done()
        return idle and time.monotonic() >= self._rests_until

    def begin(self, batch: Batch, to_epoch: str | None) -> asyncio.Task[bool]:
        name = f"publish.{self._layer.shard}"
        self._sending = asyncio.create_task(self.send(batch, to_epoch), name=name)
        return self._sending

    async def send(self, batch: Batch, to_epoch: str | None) -> bool:
        try:
            await self._layer.publish(batch, to_epoch=to_epoch)
        except LayerError as exc:
            self._rests_until = time.monotonic() + REST_SECONDS
            self._report(str(exc))
            return False
        self._report(None)
        return True

    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._layer.close()

    def _report(self, trouble: str | None) -> None:
        if self._in_trouble != (trouble is not None):
            self._in_trouble, shard = not self._in_trouble, self._layer.shard
            if trouble is None:
                logger.info("action=publish state=recovered shard=%d", shard)
            else:
                logger.error("action=publish state=failing shard=%d error=%r", shard, trouble)
