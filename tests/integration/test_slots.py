"""Slots in this process, on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from attune.local.redis import EmbeddedRedis
from streaming.slots import SlotLimits, Slots

LIMITS = SlotLimits(per_user=2, per_address=0, lease_seconds=60.0, hold_seconds=60.0)
WAIT_SECONDS = 10.0  # shorter than a lease's renewal


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own, to be stopped in the middle."""
    server = EmbeddedRedis(tmp_path / "redis")
    server.start()
    yield server
    server.close()


@asynccontextmanager
async def running_slots(redis_server: EmbeddedRedis, prefix: str) -> AsyncIterator[Slots]:
    slots = Slots(redis_server.url, LIMITS, prefix=prefix)
    await slots.enter()
    running = asyncio.create_task(slots.run())
    try:
        yield slots
    finally:
        await slots.leave()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_it_counts_for_redis_what_is_held_and_not_what_was(
    redis_server: EmbeddedRedis,
) -> None:
    """One is given back while the next is asked for."""
    prefix = f"{uuid4().hex}:"
    async with (
        running_slots(redis_server, prefix) as slots,
        Redis.from_url(redis_server.url) as redis,
        asyncio.timeout(WAIT_SECONDS),
    ):
        first = await slots.acquire(1, "")
        second = asyncio.create_task(slots.acquire(1, ""))
        await asyncio.sleep(0)
        slots.release(first)
        held = await second
        while await redis.hvals(f"{prefix}user:1") != [b"1"]:
            await asyncio.sleep(0.005)
        slots.release(held)


async def test_it_goes_by_its_own_counts_as_soon_as_redis_fails(
    own_redis: EmbeddedRedis,
) -> None:
    """Also for those who ask while others wait for the answer that does not come."""
    async with (
        running_slots(own_redis, f"{uuid4().hex}:") as slots,
        Redis.from_url(own_redis.url) as redis,
        asyncio.timeout(WAIT_SECONDS),
    ):
        await redis.client_pause(int(WAIT_SECONDS * 1000), all=True)
        first = asyncio.create_task(slots.acquire(1, ""))
        while not slots._work.is_set():  # it asks,
            await asyncio.sleep(0)
        while slots._work.is_set():  # and has been heard
            await asyncio.sleep(0)
        second = asyncio.create_task(slots.acquire(1, ""))
        for held in await asyncio.gather(first, second):
            slots.release(held)
