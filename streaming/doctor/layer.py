"""Redis, shard by shard, and whether a worker can be heard through it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.utils.module_loading import import_string
from redis.asyncio import Redis
from redis.exceptions import RedisError

from attune import redisurl
from executions import database, eventlog
from streaming.checks import WORKER_SILENCE_SECONDS
from streaming.doctor.findings import Finding, error, ok, warning
from streaming.layer import Layer, LayerError
from streaming.messages import MessageError

TIMEOUT_SECONDS = 2.0
SLOW_SECONDS = 0.1


async def examine(urls: Sequence[str], layers: dict[str, Any]) -> AsyncIterator[Finding]:
    yield type_of(layers)
    for number, url in enumerate(urls, 1):
        yield await _shard(number, url)
    yield await _heard()


def type_of(layers: dict[str, Any]) -> Finding:
    backend = layers.get("default", {}).get("BACKEND", "none")
    try:
        is_ours = issubclass(import_string(backend), RedisPubSubChannelLayer)
    except (ImportError, TypeError):
        is_ours = False
    if is_ours:
        return ok("layer", str(backend))
    advice = "use channels_redis.pubsub.RedisPubSubChannelLayer: others lose messages of a web"
    return error("layer", str(backend), f"{advice} process that is busy, or cannot cross processes")


async def _shard(number: int, url: str) -> Finding:
    """Publish to a channel of our own and wait for it, as an event would go."""
    name = f"Redis {number} ({redisurl.name(url)})"
    redis = redisurl.connect_async(
        url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )
    try:
        async with asyncio.timeout(2 * TIMEOUT_SECONDS):
            seconds = await _round_trip(redis)
    except (RedisError, OSError, TimeoutError) as exc:
        text = " ".join(str(exc).split()) or "no answer"
        advice = f"start it, or correct the {number}. address in REDIS_URL; redis-cli -u … ping"
        return error("redis", f"{name}: {type(exc).__name__}: {text}", advice)
    finally:
        await redis.aclose()
    text = f"{name}: heard after {seconds * 1000:.1f} ms"
    if seconds > SLOW_SECONDS:
        return warning("redis", text, "see what keeps it: SLOWLOG GET, its CPU, the network")
    return ok("redis", text)


async def _round_trip(redis: Redis) -> float:
    channel = f"attune_{uuid.uuid4().hex}"
    async with redis.pubsub() as listening:
        await listening.subscribe(channel)
        await listening.get_message(timeout=TIMEOUT_SECONDS)  # that we have subscribed
        began = time.monotonic()
        await redis.publish(channel, b"doctor")
        while await listening.get_message(ignore_subscribe_messages=True, timeout=1) is None:
            pass  # bounded by the caller
        return time.monotonic() - began


async def _heard() -> Finding:
    """Listen as a web process does."""
    seconds = WORKER_SILENCE_SECONDS
    try:
        async with await database.connect(application="attune doctor") as conn:
            epoch = (await eventlog.state(conn)).epoch
            if not await eventlog.workers(conn):
                return error("heard", "no worker is connected, so none is", "start one")
        began = time.monotonic()
        for shard in Layer.all():
            async with shard as layer:
                await layer.receive(await layer.subscribe(epoch), seconds=seconds)
        return ok("heard", f"a worker after {time.monotonic() - began:.1f} s")
    except (LayerError, MessageError) as exc:
        advice = (
            "start a worker; where one runs, give it the same REDIS_URL, in the same order, and the"
            " same ATTUNE_SECRET_KEY as this"
        )
        return error("heard", f"no worker through the channel layer: {exc}", advice)
    except (psycopg.Error, OSError) as exc:
        return error("heard", f"not checked: {type(exc).__name__}", "mend the database first")
