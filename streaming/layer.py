"""A shard of the channel layer as the worker and the hub use it: one group, bounded waits.

Redis pub/sub forgets: what is published while nobody is connected is gone, and
`RedisPubSubChannelLayer` says nothing when it loses its connection. So nobody here waits
without a limit, and the hub holds every message against the log's numbering.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import Any

from channels.layers import channel_layers
from django.conf import settings
from redis.exceptions import RedisError

from streaming import messages
from streaming.messages import Batch

logger = logging.getLogger("attune.layer")

# Redis answers within a millisecond or is in trouble.
TIMEOUT_SECONDS = 2.0


def group(epoch: str, shard: int = 0, shards: int = 1) -> str:
    """Return the group of one shard of one log: two logs that share a Redis do not hear each other.

    Nor do those who count the shards differently, who would look for a pack in different places.
    """
    return f"attune.events.{epoch}" + (f".{shard}of{shards}" if shards > 1 else "")


class LayerError(Exception):
    """The channel layer cannot be reached."""


class Layer:
    """An own connection to one shard of the channel layer, to be closed by whoever opened it.

    Closing flushes it, which also ends the subscriptions of others who share the object:
    therefore never the one that `get_channel_layer()` returns.
    """

    def __init__(self, shard: int = 0, shards: int = 1) -> None:
        self.shard, self._shards = shard, shards
        self._layer: Any = channel_layers.make_backend(f"shard{shard}")

    @classmethod
    def all(cls) -> list[Layer]:
        """Return one for each Redis of the settings, in their order."""
        count = len(settings.REDIS_URLS)
        return [cls(shard, count) for shard in range(count)]

    async def __aenter__(self) -> Layer:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def publish(self, batch: Batch, *, to_epoch: str | None = None) -> None:
        """Send the batch to every process subscribed to its epoch; raises LayerError.

        `to_epoch`: to those of another one, which then learn that theirs is over.
        """
        name = group(to_epoch or batch.epoch, self.shard, self._shards)
        await self._timed(self._layer.group_send(name, messages.encode(batch)))

    async def subscribe(self, epoch: str) -> str:
        """Subscribe anew, and return the name of the channel to receive from."""
        await self.close()
        channel: str = await self._timed(self._layer.new_channel())
        name = group(epoch, self.shard, self._shards)
        await self._timed(self._layer.group_add(name, channel))
        return channel

    async def receive(self, channel: str, *, seconds: float) -> Batch:
        """Return the next batch; raises LayerError after so many seconds of silence.

        The channel is of no more use after an error: subscribe again.
        """
        return messages.decode(await self._timed(self._layer.receive(channel), seconds=seconds))

    async def close(self) -> None:
        """Close all connections; the layer can be used again afterwards."""
        with contextlib.suppress(LayerError):
            await self._timed(self._layer.flush())

    async def _timed(self, call: Any, *, seconds: float = TIMEOUT_SECONDS) -> Any:
        try:
            async with asyncio.timeout(seconds):
                answer = await call
            _check_cancelled()
            return answer
        except TimeoutError as exc:
            raise LayerError(f"no answer within {seconds:g} s") from exc
        except (RedisError, OSError, ValueError) as exc:
            # ValueError: somebody without our key wrote to the group.
            raise LayerError(f"{type(exc).__name__}: {exc}") from exc


def _check_cancelled() -> None:
    """Raise the cancellation that channels-redis has swallowed, if it has.

    Its `flush` cancels its own receiver and waits for it under `except CancelledError: pass`;
    if we are cancelled in that moment, it takes ours for the receiver's, and we never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
