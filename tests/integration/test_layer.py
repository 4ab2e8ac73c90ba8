from __future__ import annotations

import asyncio
import logging

import pytest

from streaming.layer import Layer, LayerError
from streaming.messages import Batch

pytestmark = pytest.mark.usefixtures("redis_server")


async def test_it_brings_a_batch_to_every_subscriber_of_its_epoch() -> None:
    async with Layer() as one, Layer() as two, Layer() as other, Layer() as sender:
        channels = [await one.subscribe("aaaa"), await two.subscribe("aaaa")]
        elsewhere = await other.subscribe("bbbb")
        batch = Batch("aaaa", 7, ())
        await sender.publish(batch)
        assert await one.receive(channels[0], seconds=5) == batch
        assert await two.receive(channels[1], seconds=5) == batch
        with pytest.raises(LayerError, match="no answer within 0.1 s"):
            await other.receive(elsewhere, seconds=0.1)


async def test_it_can_be_subscribed_again_after_silence() -> None:
    async with Layer() as layer, Layer() as sender:
        with pytest.raises(LayerError):
            await layer.receive(await layer.subscribe("aaaa"), seconds=0.05)
        channel = await layer.subscribe("aaaa")
        await sender.publish(Batch("aaaa", 8, ()))
        assert (await layer.receive(channel, seconds=5)).last_seq == 8


async def test_messages_are_not_written_out_for_a_log_that_nobody_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """redis-py makes that text whatever the level, and repr() of a full message takes 0.1 ms."""
    async with Layer() as layer, Layer() as sender:
        channel = await layer.subscribe("aaaa")
        with caplog.at_level(logging.DEBUG, logger="push_response"):
            await sender.publish(Batch("aaaa", 8, ()))
            await layer.receive(channel, seconds=5)
    assert not [record for record in caplog.records if record.name == "push_response"]


async def test_it_ends_when_it_is_cancelled_while_it_closes() -> None:
    layer = Layer()
    await layer.subscribe("aaaa")
    closing = asyncio.create_task(layer.close())
    await asyncio.sleep(0)  # into the flush, which swallows a cancellation here
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await layer.close()
