"""The hub and the worker's publisher on two Redis servers, of which either may be away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from attune import settings as product
from attune.local.redis import EmbeddedRedis
from executions.filters import Filter
from executions.positions import Position
from streaming import shards
from streaming.hub import Hub
from streaming.layer import Layer, LayerError
from streaming.messages import Batch
from streaming.publisher import Publisher
from streaming.subscriber import Subscriber
from tests.integration.test_hub import (
    WAIT_SECONDS,
    collect,
    count_of,
    epoch,
    logged,
    running_hub,
    subscribe,
    until,
)
from tests.rows import Connection, add_execution, one, sequence, set_status

ALPHA, BETA = (Filter(packs=frozenset({pack})) for pack in ("alpha", "beta"))  # shards 0 and 1


@pytest.fixture
def servers(tmp_path: Path, settings: Any) -> Iterator[list[EmbeddedRedis]]:
    """Two Redis servers, which the settings of this test name."""
    started = [EmbeddedRedis(tmp_path / f"redis{number}") for number in range(2)]
    try:
        for server in started:
            server.start()
        urls = [server.url for server in started]
        settings.REDIS_URLS = urls
        settings.CHANNEL_LAYERS = {f"shard{n}": product._layer([url]) for n, url in enumerate(urls)}
        yield started
    finally:
        for server in started:
            server.close()


def groups(server: EmbeddedRedis) -> list[bytes]:
    """Return the groups that somebody follows on a server."""
    with Redis.from_url(server.url) as client:
        found: list[bytes] = client.pubsub_channels("*attune.events*")
        return found


def change(conn: Connection, *refs: str) -> range:
    """Add an execution of each ref, number what is there, and return its seqs."""
    first = int(one(conn, "SELECT last_seq + 1 FROM attune.stream_state"))
    for ref in refs:
        add_execution(conn, ref)
    sequence(conn)
    return range(first, first + len(refs))


async def publish(publisher: Publisher, conn: Connection, seqs: range) -> None:
    await publisher.publish(Batch(epoch(conn), seqs.stop - 1, logged(conn, seqs)))


async def settled(hub: Hub, publisher: Publisher, conn: Connection) -> None:
    """Wait until every shard is heard: what came before the subscription has been read by then."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not all(follower.heard for follower in hub._followers):
            await publisher.publish(Batch(epoch(conn), hub.position.seq, ()))
            await asyncio.sleep(0.02)


def narrow(hub: Hub) -> None:
    """As the clock does, twice."""
    assert hub._merge is not None
    hub._adjust(hub._merge)
    hub._adjust(hub._merge)


async def test_it_follows_only_the_shards_that_its_streams_need(
    conn: Connection, database: str, servers: list[EmbeddedRedis]
) -> None:
    async with running_hub(database) as hub, Publisher(Layer.all()) as publisher:
        await until(lambda: all(groups(server) for server in servers))
        stream = subscribe(hub, ALPHA, 0)
        narrow(hub)
        await publish(publisher, conn, change(conn, "alpha.run", "beta.run", "alpha.run"))
        assert await collect(stream, 3) == [1, 3]
        await until(lambda: groups(servers[1]) == [])
        assert len(groups(servers[0])) == 1
        # And what is of the other shard alone is told by what this one covers.
        await publish(publisher, conn, change(conn, "beta.run"))
        await until(lambda: hub.position.seq == 4)
        stream.close()
        narrow(hub)  # without streams, it follows all
        await until(lambda: all(groups(server) for server in servers))


async def test_it_follows_more_once_a_stream_needs_more(
    conn: Connection, database: str, servers: list[EmbeddedRedis]
) -> None:
    async with running_hub(database) as hub, Publisher(Layer.all()) as publisher:
        narrowest = subscribe(hub, ALPHA, 0)
        narrow(hub)
        await publish(publisher, conn, change(conn, "alpha.run", "beta.run", "beta.run"))
        await until(lambda: hub.position.seq == 3)
        # Of what follows the first event, memory has only what it heard of.
        both = subscribe(hub, Filter(), 1)
        other = subscribe(hub, BETA, 2)
        await publish(publisher, conn, change(conn, "beta.run", "alpha.run"))
        assert await collect(narrowest, 5) == [1, 5]
        assert await collect(both, 5) == [2, 3, 4, 5]
        assert await collect(other, 5) == [3, 4]
        await until(lambda: all(groups(server) for server in servers))
        for stream in (narrowest, both, other):
            stream.close()


async def test_it_tells_a_move_to_those_whom_it_leaves(
    conn: Connection, database: str, servers: list[EmbeddedRedis]
) -> None:
    async with running_hub(database) as hub, Publisher(Layer.all()) as publisher:
        stream = subscribe(hub, ALPHA, 0)
        narrow(hub)
        await publish(publisher, conn, change(conn, "alpha.run"))
        conn.execute("UPDATE attune.execution SET action_ref = 'beta.run'")
        await publish(publisher, conn, range(2, 2 + len(change(conn)) + 1))
        assert await collect(stream, 2) == [1, 2]
        stream.close()


@pytest.mark.parametrize("dead", [0, 1])
async def test_it_goes_on_while_one_shard_is_away(
    conn: Connection, database: str, servers: list[EmbeddedRedis], dead: int
) -> None:
    """What needs it comes from the log; what does not is not even late."""
    async with running_hub(database) as hub, Publisher(Layer.all()) as publisher:
        everything = subscribe(hub, Filter(), 0)
        servers[dead].stop()
        for _ in range(3):
            seqs = change(conn, "alpha.run", "beta.run")
            await publish(publisher, conn, seqs)
            assert await collect(everything, seqs.stop - 1) == list(seqs)
        servers[dead].start()
        await until(lambda: groups(servers[dead]))
        everything.close()


NEVER = {"layer_silence_seconds": 60.0}  # nothing but a gap makes the hub read the log


async def test_it_puts_together_what_the_shards_bring(
    conn: Connection, database: str, servers: list[EmbeddedRedis]
) -> None:
    async with running_hub(database, **NEVER) as hub, Publisher(Layer.all()) as publisher:
        await settled(hub, publisher, conn)
        stream = subscribe(hub, Filter(), 0)
        pages = count_of("attune_log_reads_total")
        for refs in (["alpha.run", "beta.run"], ["beta.run"], ["alpha.run"] * 3):
            seqs = change(conn, *refs)
            await publish(publisher, conn, seqs)
            assert await collect(stream, seqs.stop - 1) == list(seqs)
        assert count_of("attune_log_reads_total") == pages
        stream.close()


async def test_it_keeps_what_does_not_need_the_dead_shard_live(
    conn: Connection, database: str, servers: list[EmbeddedRedis]
) -> None:
    async with running_hub(database, **NEVER) as hub, Publisher(Layer.all()) as publisher:
        await settled(hub, publisher, conn)
        stream = subscribe(hub, BETA, 0)
        narrow(hub)
        servers[0].stop()
        pages = count_of("attune_log_reads_total")
        for _ in range(3):
            seqs = change(conn, "alpha.run", "beta.run")
            await publish(publisher, conn, seqs)
            assert await collect(stream, seqs.stop - 1) == [seqs.stop - 1]
        assert count_of("attune_log_reads_total") == pages
        stream.close()


async def test_it_does_not_believe_in_what_the_log_does_not_know(
    conn: Connection, database: str, servers: list[EmbeddedRedis]
) -> None:
    async with running_hub(database, **NEVER) as hub, Publisher(Layer.all()) as publisher:
        await until(lambda: all(groups(server) for server in servers))
        stream = subscribe(hub, Filter(), 0)
        assert await publisher.publish(Batch(epoch(conn), 10**12, ()))
        await publish(publisher, conn, change(conn, "alpha.run", "beta.run"))
        assert await collect(stream, 2) == [1, 2]
        assert hub.position.seq == 2
        stream.close()


async def test_it_hears_nobody_who_counts_the_shards_differently(
    servers: list[EmbeddedRedis],
) -> None:
    """A pack would be looked for in different places."""
    async with Layer(0, 2) as two, Layer(0, 3) as three, Layer(0, 1) as single:
        channel = await two.subscribe("aaaa")
        for other in (three, single):
            await other.publish(Batch("aaaa", 7, (), 1))
        await two.publish(Batch("aaaa", 8, (), 1))
        assert (await two.receive(channel, seconds=5)).last_seq == 8
        with pytest.raises(LayerError):
            await two.receive(channel, seconds=0.1)


@pytest.mark.parametrize("number", range(10))
async def test_it_hands_over_from_replay_to_live(
    conn: Connection, database: str, servers: list[EmbeddedRedis], number: int
) -> None:
    """Of each message, each shard's part comes late, twice, or not at all; streams come and go."""
    dice = random.Random(number)
    executions = [add_execution(conn, f"{pack}.run") for pack in ("alpha", "beta", "core", "two")]
    choices = [Filter(), ALPHA, BETA, Filter(executions=frozenset(executions[:2]))]
    sequence(conn)
    readers: list[tuple[int, Subscriber, asyncio.Task[list[int | str]]]] = []
    gone = []
    layers = Layer.all()
    limits = {
        "ring_events": dice.choice([1, 5, 50, 10_000]),
        "replay_page_events": dice.choice([1, 7, 500]),
    }
    async with running_hub(database, **limits) as hub:
        for first in range(5, 205, 25):
            await asyncio.to_thread(_change, conn, dice, executions, 25)
            batch = Batch(epoch(conn), first + 24, logged(conn, range(first, first + 25)))
            for layer, part in zip(layers, shards.split(batch, 2), strict=True):
                for _ in range(dice.choice([0, 1, 1, 1, 2])):
                    await layer.publish(part)
            if dice.random() < 0.5:
                narrow(hub)
            start, filter = dice.randint(0, first + 24), dice.choice(choices)
            reader = Subscriber(hub, filter, Position(epoch(conn), start))
            readers.append((start, reader, asyncio.create_task(collect(reader, 204))))
            if len(readers) > 4:
                gone.append(readers.pop(0)[2])
                gone[-1].cancel()
        await asyncio.wait(gone)  # of one that reads the log, psycopg cancels the query first
        for start, reader, reading in readers:
            wanted = [e.seq for e in logged(conn, range(1, 205)) if reader.filter.matches(e)]
            assert await reading == [seq for seq in wanted if seq > start]
            reader.close()
    for layer in layers:
        await layer.close()


def _change(conn: Connection, dice: random.Random, executions: list[int], count: int) -> None:
    last = int(one(conn, "SELECT last_seq FROM attune.stream_state"))
    while missing := last + count - int(one(conn, "SELECT last_seq FROM attune.stream_state")):
        for _ in range(missing):
            execution = dice.choice(executions)
            if dice.random() < 0.2:
                ref = f"{dice.choice(['alpha', 'beta'])}.run"
                conn.execute(
                    "UPDATE attune.execution SET action_ref = %s WHERE id = %s", [ref, execution]
                )
            else:
                set_status(conn, execution, dice.choice(["running", "failed"]))
        sequence(conn)
