"""Whether each Redis answers, asked on connections of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from attune import redisurl

TIMEOUT_SECONDS = 1.0


class Pings:
    """The shards of the channel layer, in the order of REDIS_URL."""

    def __init__(self, urls: Sequence[str]) -> None:
        # One more try at once: the server may have closed a connection that was idle.
        self._shards = [
            redisurl.connect_async(
                url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 1),
            )
            for url in urls
        ]
        self.answered: list[float] = [0.0] * len(self._shards)  # last, in time.monotonic()

    async def ask(self) -> dict[int, str]:
        """Return what is wrong with those that do not answer, by their number from 1."""
        wrong = await asyncio.gather(*map(self._ask, range(len(self._shards))))
        return {number: error for number, error in enumerate(wrong, 1) if error}

    async def _ask(self, index: int) -> str:
        try:
            async with asyncio.timeout(2 * TIMEOUT_SECONDS):
                await self._shards[index].ping()
        except (RedisError, OSError, TimeoutError) as exc:
            return type(exc).__name__
        self.answered[index] = time.monotonic()
        return ""

    async def close(self) -> None:
        await asyncio.gather(*(shard.aclose() for shard in self._shards))
