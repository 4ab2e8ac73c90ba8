"""Whatever happens in whatever order: nothing lost, nothing twice, nothing out of order."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import psycopg
import pytest
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from attune.local.redis import EmbeddedRedis
from executions.filters import Filter
from executions.positions import Position
from streaming.hub import Hub
from streaming.layer import Layer
from streaming.messages import Batch
from streaming.replay import LogReader
from streaming.subscriber import Subscriber
from tests.integration.test_hub import collect, epoch, logged
from tests.rows import Connection, add_execution, events, inbox, one, sequence, set_status

FEW = {"deadline": None, "suppress_health_check": list(HealthCheck)}

# Which of three writers does what, and when the sequencer comes by.
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "commit", "rollback", "sequence"]),
        st.integers(0, 2),
        st.integers(0, 5),
    ),
    max_size=60,
)


@examples(max_examples=25, **FEW)
@given(ACTIONS)
def test_it_sequences_any_interleaving_of_transactions(
    conn: Connection, database: str, actions: list[tuple[str, int, int]]
) -> None:
    committed = one(conn, "SELECT last_seq FROM attune.stream_state")
    writers = [psycopg.connect(database) for _ in range(3)]
    pending = [0, 0, 0]
    try:
        for writer in writers:
            writer.execute("SET lock_timeout = '5ms'")
            writer.commit()
        for action, who, which in actions:
            writer = writers[who]
            if action == "sequence":
                sequence(conn, which + 1)
            elif action in ("commit", "rollback"):
                committed += pending[who] if action == "commit" else 0
                pending[who] = 0
                getattr(writer, action)()
            elif action == "insert":
                add_execution(writer)
                pending[who] += 1
            else:
                pending[who] = _update(writer, which, pending[who])
    finally:
        for writer in writers:
            writer.rollback()
            writer.close()
    while inbox(conn):
        sequence(conn, 7)
    log = events(conn)
    assert [e["seq"] for e in log] == list(range(1, committed + 1))
    for execution in {e["entity_id"] for e in log}:
        versions = [e["version"] for e in log if e["entity_id"] == execution]
        assert versions == list(range(1, len(versions) + 1))


def _update(writer: Connection, which: int, pending: int) -> int:
    """Change some execution; a row that another holds ends the transaction."""
    try:
        changed = writer.execute(
            "UPDATE attune.execution SET enforcement = coalesce(enforcement, 0) + 1"
            " WHERE id = (SELECT id FROM attune.execution ORDER BY id OFFSET %s LIMIT 1)",
            [which],
        )
    except psycopg.errors.LockNotAvailable:
        writer.rollback()
        return 0
    return pending + changed.rowcount


@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize("number", range(12))
async def test_it_hands_over_from_replay_to_live(
    conn: Connection, database: str, number: int, redis_server: EmbeddedRedis
) -> None:
    """Messages come late, twice, in part or not at all; memory holds much or little."""
    dice = random.Random(number)
    limits = replace(
        settings.ATTUNE,
        layer_silence_seconds=0.2,
        ring_events=dice.choice([1, 5, 50, 10_000]),
        replay_page_events=dice.choice([1, 7, 500]),
    )
    executions = [add_execution(conn) for _ in range(4)]
    chosen = frozenset(dice.sample(executions, dice.choice([1, 2])))
    filter = dice.choice([Filter(), Filter(executions=chosen), Filter(statuses=_RUNNING)])
    sequence(conn)
    total = 400
    async with (
        Hub(Layer.all(), LogReader(database, connections=2), limits) as hub,
        Layer() as layer,
    ):
        await hub.refresh()
        readers = []
        for done in range(0, total, 50):
            await asyncio.to_thread(_change, conn, dice, executions, 50)
            first = 4 + done + 1
            for _ in range(dice.choice([0, 1, 1, 2])):
                start = first + dice.choice([0, 0, 10])
                batch = Batch(epoch(conn), first + 49, logged(conn, range(start, first + 50)))
                await layer.publish(batch)
            position = Position(epoch(conn), dice.randint(0, first + 49))
            subscriber = Subscriber(hub, filter, position)
            readers.append((subscriber, asyncio.create_task(collect(subscriber, 4 + total))))
            readers[-1][1].set_name(str(position.seq))
        wanted = [e for e in logged(conn, range(1, 5 + total)) if filter.matches(e)]
        for subscriber, reading in readers:
            after = int(reading.get_name())
            assert await reading == [event.seq for event in wanted if event.seq > after]
            subscriber.close()


_RUNNING = frozenset({"running"})


def _change(conn: Connection, dice: random.Random, executions: list[int], count: int) -> None:
    last = one(conn, "SELECT last_seq FROM attune.stream_state")
    while one(conn, "SELECT last_seq FROM attune.stream_state") < last + count:
        missing = last + count - one(conn, "SELECT last_seq FROM attune.stream_state")
        for _ in range(missing):
            set_status(conn, dice.choice(executions), dice.choice(["running", "failed"]))
        sequence(conn)
