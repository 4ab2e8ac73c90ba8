"""The hub in this process, on a real log and a real channel layer."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from attune.local.redis import EmbeddedRedis
from executions.eventlog import Event
from executions.filters import Filter
from executions.positions import Position
from streaming.beginning import Start, begin
from streaming.filters import StreamRequest
from streaming.health import Health
from streaming.hub import Hub
from streaming.layer import Layer, group
from streaming.messages import Batch, encode
from streaming.pings import Pings
from streaming.replay import LogReader, LogUnavailable
from streaming.subscriber import Reset, Subscriber
from tests.rows import Connection, add_execution, log, one, sequence, set_status

WAIT_SECONDS = 15.0


@pytest.fixture(autouse=True)
def _layer_server(redis_server: EmbeddedRedis) -> None:
    """Every test here needs a channel layer."""


@asynccontextmanager
async def running_hub(database: str, **limits: Any) -> AsyncIterator[Hub]:
    hub = Hub(
        Layer.all(),
        LogReader(database, connections=2),
        replace(settings.ATTUNE, **{"layer_silence_seconds": 0.2, **limits}),
    )
    async with hub:
        await until(lambda: hub.position.epoch)
        yield hub


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


def subscribe(hub: Hub, filter: Filter, seq: int) -> Subscriber:
    return Subscriber(hub, filter, Position(hub.position.epoch, seq))


async def collect(subscriber: Subscriber, upto: int) -> list[int | str]:
    """Return the seqs (and resets) that a stream would send, until it stands at `upto`."""
    seen: list[int | str] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while subscriber.position.seq < upto:
            item = await subscriber.next()
            if item is None:
                with suppress(TimeoutError):  # nothing wakes it for what does not match
                    async with asyncio.timeout(0.1):
                        await subscriber.wait()
            elif isinstance(item, Reset):
                seen.append(item.reason)
                subscriber.position = item.position
            else:
                lines = item.data.decode().splitlines()
                ids = [line for line in lines if line.startswith("id: ")]
                assert len(ids) == len(item.frames)
                seen += [int(line.rpartition("-")[2]) for line in ids]
    return seen


def epoch(conn: Connection) -> str:
    return str(one(conn, "SELECT epoch FROM attune.stream_state"))


def logged(conn: Connection, seqs: range) -> tuple[Event, ...]:
    return tuple(log(conn, seqs))


async def publish(layer: Layer, conn: Connection, seqs: range, **changes: Any) -> None:
    await layer.publish(replace(Batch(epoch(conn), seqs.stop - 1, logged(conn, seqs)), **changes))


def add_events(conn: Connection, count: int) -> int:
    """Add so many events to the log, of one execution, and return its id."""
    execution = add_execution(conn)
    for number in range(count - 1):
        conn.execute(
            "UPDATE attune.execution SET enforcement = %s WHERE id = %s", [number, execution]
        )
    sequence(conn)
    return execution


async def test_it_delivers_what_the_layer_brings(conn: Connection, database: str) -> None:
    async with running_hub(database) as hub, Layer() as layer:
        subscriber = subscribe(hub, Filter(), 0)
        add_events(conn, 3)
        await publish(layer, conn, range(1, 4))
        assert await collect(subscriber, 3) == [1, 2, 3]
        subscriber.close()


async def test_it_repairs_a_gap_and_drops_repeats(conn: Connection, database: str) -> None:
    async with running_hub(database) as hub, Layer() as layer:
        subscriber = subscribe(hub, Filter(), 0)
        add_events(conn, 6)
        await publish(layer, conn, range(4, 6))  # 1 to 3 never arrive
        await publish(layer, conn, range(2, 6))  # and this arrives twice
        await publish(layer, conn, range(6, 7))
        assert await collect(subscriber, 6) == [1, 2, 3, 4, 5, 6]
        subscriber.close()


async def test_it_needs_no_message_at_all(conn: Connection, database: str) -> None:
    async with running_hub(database) as hub:
        subscriber = subscribe(hub, Filter(), 0)
        add_events(conn, 4)
        assert await collect(subscriber, 4) == [1, 2, 3, 4]
        subscriber.close()


async def test_it_ignores_forged_and_broken_messages(conn: Connection, database: str) -> None:
    async with running_hub(database) as hub, Layer() as layer:
        subscriber = subscribe(hub, Filter(), 0)
        await layer._layer.group_send(group(epoch(conn)), {"type": "nonsense"})
        other_epoch = encode(Batch("beef", 99, ()))
        await layer._layer.group_send(group(epoch(conn)), other_epoch)
        await publish(layer, conn, range(1, 1), last_seq=10**12)
        add_events(conn, 2)
        assert await collect(subscriber, 2) == [1, 2]
        assert hub.alive
        subscriber.close()


async def test_it_takes_a_position_message_as_a_hint(conn: Connection, database: str) -> None:
    async with running_hub(database) as hub, Layer() as layer:
        subscriber = subscribe(hub, Filter(), 0)
        add_events(conn, 2)
        await publish(layer, conn, range(1, 1), last_seq=2)
        assert await collect(subscriber, 2) == [1, 2]
        subscriber.close()


async def test_it_replays_then_goes_live_without_gap_or_repeat(
    conn: Connection, database: str
) -> None:
    add_events(conn, 50)
    async with running_hub(database, replay_page_events=7) as hub:
        subscriber = subscribe(hub, Filter(), 5)
        reading = asyncio.create_task(collect(subscriber, 90))
        for _ in range(4):
            await asyncio.to_thread(add_events, conn, 10)
        assert await reading == list(range(6, 91))
        subscriber.close()


async def test_it_replays_from_the_log_what_memory_has_forgotten(
    conn: Connection, database: str
) -> None:
    async with running_hub(database, ring_events=5, replay_page_events=3) as hub:
        slow = subscribe(hub, Filter(), 0)
        add_events(conn, 40)
        await until(lambda: hub.position.seq == 40)
        assert await collect(slow, 40) == list(range(1, 41))
        slow.close()


async def test_it_filters_replay_and_live_alike(conn: Connection, database: str) -> None:
    wanted, other = add_execution(conn), add_execution(conn)
    set_status(conn, other, "running")
    set_status(conn, wanted, "running")
    sequence(conn)
    async with running_hub(database) as hub:
        by_id = subscribe(hub, Filter(executions=frozenset({wanted})), 0)
        by_status = subscribe(hub, Filter(statuses=frozenset({"running"})), 0)
        for execution in (other, wanted):
            set_status(conn, execution, "completed")
        sequence(conn)
        assert await collect(by_id, 6) == [1, 4, 6]
        assert await collect(by_status, 6) == [3, 4, 5, 6]
        by_id.close()
        by_status.close()


async def test_it_resets_streams_when_the_epoch_changes(conn: Connection, database: str) -> None:
    add_events(conn, 3)
    async with running_hub(database) as hub:
        subscriber = subscribe(hub, Filter(), 3)
        conn.execute("UPDATE attune.stream_state SET epoch = 'beef', last_seq = 10")
        assert await collect(subscriber, 10) == ["epoch_changed"]
        assert subscriber.position == Position("beef", 10)
        subscriber.close()


async def test_it_resets_a_stream_whose_history_was_pruned(conn: Connection, database: str) -> None:
    add_events(conn, 10)
    async with running_hub(database) as hub:
        conn.execute("DELETE FROM attune.execution_event WHERE seq <= 5")
        conn.execute("UPDATE attune.stream_state SET floor_seq = 5")
        subscriber = subscribe(hub, Filter(), 2)
        assert await collect(subscriber, 10) == ["history_gone"]
        subscriber.close()


async def test_it_resets_live_streams_when_history_was_pruned_before_it_got_there(
    conn: Connection, database: str
) -> None:
    add_events(conn, 10)
    async with running_hub(database) as hub:
        live = subscribe(hub, Filter(), 10)
        async with hub._repairing:  # as if the process had been suspended
            add_events(conn, 10)
            conn.execute("DELETE FROM attune.execution_event WHERE seq <= 17")
            conn.execute("UPDATE attune.stream_state SET floor_seq = 17")
        assert await collect(live, 20) == ["history_gone"]
        live.close()


async def test_it_knows_where_history_begins(conn: Connection, database: str) -> None:
    add_events(conn, 10)
    async with running_hub(database) as hub:
        conn.execute("DELETE FROM attune.execution_event WHERE seq <= 5")
        conn.execute("UPDATE attune.stream_state SET floor_seq = 5")
        assert (await hub.state(cursor="earliest")).floor_seq == 5


class Open:
    """An open stream, as far as a hub that breaks has to do with it."""

    hanging_since, unsent, woken = math.inf, 0, False

    def due(self, now: float) -> float:
        return now

    def attend(self, now: float) -> bool:
        return False

    def cut(self) -> None: ...
    def wake(self) -> None:
        self.woken = True


async def test_it_is_not_ready_and_sends_all_away_once_a_task_has_ended(
    conn: Connection, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks() -> None:
        raise RuntimeError("broken")

    async with running_hub(database) as hub:
        stream = Open()
        hub.streams.add(stream, at=0.0)
        pings = Pings(settings.REDIS_URLS)
        before = await Health(hub, pings).report()
        assert before.checks["hub"].state == before.checks["layer"].state == "ok"
        hub.run_beside(breaks(), name="breaking")
        await until(lambda: stream.woken)
        assert hub.closing
        report = await Health(hub, pings).report()
        await pings.close()
        assert not report.ready and "restart this process" in report.checks["hub"].state
    assert "action=hub.breaking state=ended" in caplog.text


async def test_it_skips_what_would_not_fit_into_memory(conn: Connection, database: str) -> None:
    async with running_hub(database, ring_events=5) as hub:
        subscriber = subscribe(hub, Filter(), 0)
        add_events(conn, 100)
        assert await collect(subscriber, 100) == list(range(1, 101))
        subscriber.close()


async def test_it_forgets_feeds_that_nobody_reads(conn: Connection, database: str) -> None:
    async with running_hub(database) as hub:
        by_id = Filter(executions=frozenset({1, 2}))
        filters = [by_id, by_id, Filter(packs=frozenset({"core"}))]
        subscribers = [subscribe(hub, filter, 0) for filter in filters]
        assert len(hub._feeds) == 2
        for subscriber in subscribers:
            subscriber.close()
        assert len(hub._feeds) == 0
        assert (hub._feeds._naming, hub._feeds._broad) == ({}, set())


async def test_it_reads_once_what_a_crowd_comes_back_for(conn: Connection, database: str) -> None:
    """A process that has just started has nothing in memory; its clients all come at once."""
    execution = add_events(conn, 40)
    other = add_execution(conn)
    sequence(conn)
    async with running_hub(database) as hub:
        pages = count_of("attune_log_reads_total")
        filters = [Filter(), Filter(executions=frozenset({execution})), Filter()] * 20
        crowd = [subscribe(hub, filter, 5) for filter in filters]
        crowd.append(subscribe(hub, Filter(executions=frozenset({other})), 7))
        seen = await asyncio.gather(*(collect(subscriber, 41) for subscriber in crowd))
        assert seen[0] == list(range(6, 42))
        assert seen[1] == list(range(6, 41))
        assert seen[-1] == [41]
        assert all(seen[n] == seen[n % 3] for n in range(60))
        assert count_of("attune_log_reads_total") - pages <= 2
        for subscriber in crowd:
            subscriber.close()


def count_of(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


async def test_it_reads_what_memory_has_not_once_for_all(conn: Connection, database: str) -> None:
    """Streams that are behind, each somewhere else, soon read the same pages."""
    crowd, events = 40, 2000
    execution = add_events(conn, events)
    sequence(conn)
    async with running_hub(database, ring_events=100) as hub:
        end = hub.position.seq
        for filter in (Filter(), Filter(executions=frozenset({execution}))):
            streams = [subscribe(hub, filter, 7 * number) for number in range(crowd)]
            pages = count_of("attune_log_reads_total")
            got = await asyncio.gather(*(collect(stream, end) for stream in streams))
            for number, seqs in enumerate(got):
                assert seqs == list(range(7 * number + 1, end + 1))
            assert count_of("attune_log_reads_total") - pages < crowd + 60
            for stream in streams:
                stream.close()


async def test_it_stays_where_it_is_until_a_reset_has_been_told(
    conn: Connection, database: str
) -> None:
    add_events(conn, 3)
    async with running_hub(database) as hub:
        subscriber = subscribe(hub, Filter(), 3)
        conn.execute("UPDATE attune.stream_state SET epoch = 'beef', last_seq = 10")
        await until(lambda: hub.position.epoch == "beef")
        told = Reset("epoch_changed", Position("beef", 10))
        assert [await subscriber.next() for _ in range(2)] == [told, told]
        subscriber.close()


async def test_it_hears_of_a_new_epoch_by_the_first_snapshot_of_it(
    conn: Connection, database: str
) -> None:
    """Otherwise the stream would start over, with a snapshot each time, until the hub knows."""
    add_events(conn, 3)
    async with running_hub(database, layer_silence_seconds=60.0) as hub:
        start = Start(hub.position)
        conn.execute("UPDATE attune.stream_state SET epoch = 'beef', last_seq = 10")
        beginning = await begin(hub, StreamRequest(Filter(), snapshot=True), Filter(), start)
        assert beginning.start.position == hub.position == Position("beef", 10)


async def test_it_forgets_no_wake_between_a_look_and_the_wait(
    conn: Connection, database: str
) -> None:
    async with running_hub(database) as hub:
        subscriber = subscribe(hub, Filter(), hub.position.seq)
        subscriber.look()
        assert await subscriber.next() is None
        subscriber.wake()
        async with asyncio.timeout(WAIT_SECONDS):
            await subscriber.wait()
        waiting = asyncio.ensure_future(subscriber.wait())  # once is enough
        await asyncio.sleep(0)
        assert not waiting.done()
        subscriber.wake()
        await waiting
        subscriber.close()


@pytest.mark.parametrize("held", [0, 60])
async def test_it_reads_large_events_once_for_a_stream_that_memory_has_no_room_for(
    conn: Connection, database: str, held: int
) -> None:
    """By number all of it would fit. `held`: events that are in memory before."""
    execution, count = add_execution(conn), 200
    for _ in range(count - 1 - held):
        conn.execute(_LARGE, [execution])
    sequence(conn)
    async with running_hub(database, ring_bytes=160_000) as hub:
        for _ in range(held):
            conn.execute(_LARGE, [execution])
        sequence(conn)
        await until(lambda: hub.position.seq == count)
        pages = count_of("attune_log_reads_total")
        for start in (0, 20):
            subscriber = subscribe(hub, Filter(), start)
            assert await collect(subscriber, count) == list(range(start + 1, count + 1))
            subscriber.close()
        assert hub._ring.bytes <= 160_000
        # 64 KiB hold nine of them; the pages of the second are those of the first, but for its own.
        assert count_of("attune_log_reads_total") - pages < count / 9 + 12


_LARGE = """
    UPDATE attune.execution SET result = jsonb_build_object('n', version, 'x', repeat('y', 6000))
    WHERE id = %s
"""


async def test_it_leaves_the_layer_while_the_log_cannot_be_read(
    conn: Connection, database: str, redis_server: EmbeddedRedis
) -> None:
    """What is published meanwhile would pile up for as long as that lasts."""
    async with running_hub(database) as hub:
        mine = group(hub.position.epoch)
        async with Redis.from_url(redis_server.url) as redis:

            async def listeners() -> int:
                return sum(count for _, count in await redis.pubsub_numsub(*await names()))

            async def names() -> list[bytes]:
                return [name for name in await redis.pubsub_channels() if mine.encode() in name]

            async def until_listeners(count: int) -> None:
                async with asyncio.timeout(WAIT_SECONDS):
                    while await listeners() != count:
                        await asyncio.sleep(0.005)

            await until_listeners(1)
            conn.execute("ALTER TABLE attune.stream_state RENAME TO away")
            await until_listeners(0)
            conn.execute("ALTER TABLE attune.away RENAME TO stream_state")
            await until_listeners(1)


async def test_its_lag_is_not_that_of_events_that_nobody_asked_for(
    conn: Connection, database: str
) -> None:
    asked, other = add_execution(conn), add_execution(conn)
    sequence(conn)
    async with running_hub(database) as hub:
        start = hub.position.seq
        subscriber = subscribe(hub, Filter(executions=frozenset({asked})), start)
        before = _lags()
        set_status(conn, other, "running")
        conn.execute("UPDATE attune.execution_inbox SET updated = updated - interval '1 hour'")
        sequence(conn)
        await until(lambda: hub.position.seq == start + 1)
        hub._feeds.join(subscriber.filter, Taker(), since=start)
        set_status(conn, asked, "running")
        sequence(conn)
        await until(lambda: _lags()[0] > before[0])
        assert _lags()[1] - before[1] < WAIT_SECONDS
        subscriber.close()


class Taker:
    """Reads a feed by saying so."""

    count = 1

    def push(self, now: float) -> int:
        return 1

    def wake(self) -> None: ...


def _lags() -> tuple[float, float]:
    """Return how many rounds of writes there were, and the sum of the lags they wrote."""
    name = "attune_commit_to_socket_seconds"
    return count_of(f"{name}_count"), count_of(f"{name}_sum")


async def test_it_waits_only_so_long_for_a_database_that_does_not_answer(
    conn: Connection, database: str
) -> None:
    """One that is stopped does not end its statements by its own clock either."""
    log = LogReader(database, connections=1, answer_seconds=0.3)
    await log.open()
    try:
        await log.state()
        backend = one(
            conn,
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'idle'"
            " AND datname = current_database() AND query LIKE '%%stream_state%%'",
        )
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(LogUnavailable, match="no answer within 0.3 s"):
                await log.state()
        finally:
            os.kill(backend, signal.SIGCONT)
        assert (await log.state()).epoch
    finally:
        await log.close()
