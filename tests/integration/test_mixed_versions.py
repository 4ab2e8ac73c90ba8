"""Workers and web processes of different versions on one database, as while one upgrades.

At the level of what they exchange: functions called as an old worker calls them, its messages
as it sent them. `python -m bench.upgrade.rolling` runs a real old version.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgpack
import pytest

from attune.local.redis import EmbeddedRedis
from executions.filters import Filter
from streaming.layer import Layer, group
from tests.integration.test_hub import collect, epoch, running_hub, subscribe, until
from tests.integration.test_migrations import migrate
from tests.rows import Connection, add_execution, log, set_status
from tests.servers import PROJECT

FIXTURE: Path = PROJECT / "tests" / "fixtures" / "message-0006.msgpack"

# What the worker of each version asks for, and what it does with the answer's columns.
OLD = {
    "sequence_v1": ["epoch", "first_seq", "last_seq"],
    "sequence_v2": [
        *("epoch", "first_seq", "last_seq"),
        *("seq", "execution", "version", "op", "status", "old_status"),
        *("action_ref", "parent", "ancestors", "event"),
    ],
}


@pytest.mark.parametrize("name", OLD)
def test_it_numbers_for_an_old_worker_as_for_a_new_one(conn: Connection, name: str) -> None:
    parent = add_execution(conn)
    child = add_execution(conn, parent=parent)
    cursor = conn.execute(f"SELECT * FROM attune.{name}(1000)")
    assert [column.name for column in cursor.description or ()] == OLD[name]
    assert {row[1:3] for row in cursor.fetchall()} == {(1, 2)}
    conn.execute("UPDATE attune.execution SET parent = NULL WHERE id = %s", [child])
    set_status(conn, parent, "running")
    rows = conn.execute(f"SELECT * FROM attune.{name}(1000)").fetchall()
    assert {row[1:3] for row in rows} == {(3, 4)}
    if name == "sequence_v2":
        assert [row[3:12] for row in rows] == [tuple(e)[:9] for e in log(conn, range(3, 5))]
    # What an old worker does not know of is in the log all the same, for the new web process.
    first, second = log(conn, range(3, 5))
    assert (first.old_parent, first.old_ancestors) == (parent, [parent])
    assert (second.old_parent, second.old_ancestors) == (None, None)
    # An empty inbox is a row without events, not none: that would mean that another has the lock.
    assert len(conn.execute(f"SELECT * FROM attune.{name}(1000)").fetchall()) == 1


async def test_a_new_web_process_takes_events_that_an_old_worker_brings(
    conn: Connection, database: str, redis_server: EmbeddedRedis
) -> None:
    # No look of its own at the log, so that it is the message that brings them.
    async with running_hub(database, layer_silence_seconds=60) as hub, Layer() as layer:
        subscriber = subscribe(hub, Filter(), 0)
        execution = add_execution(conn)
        conn.execute(
            "UPDATE attune.execution SET action_ref = 'other.run' WHERE id = %s", [execution]
        )
        conn.execute("SELECT * FROM attune.sequence_v2(1000)")
        old: dict[str, Any] = msgpack.unpackb(FIXTURE.read_bytes())
        assert {len(event) for event in old["events"]} == {10}
        name = group(epoch(conn))
        await layer._layer.group_send(name, old | {"epoch": epoch(conn)})
        assert await collect(subscriber, 2) == [1, 2]
        subscriber.close()


async def test_a_new_web_process_waits_for_the_database_to_be_migrated(
    conn: Connection,
    database: str,
    redis_server: EmbeddedRedis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await asyncio.to_thread(migrate, database, "executions", "0006")
    async with running_hub(database) as hub:
        subscriber = subscribe(hub, Filter(), 0)
        add_execution(conn)
        conn.execute("SELECT * FROM attune.sequence_v2(1000)")
        await until(lambda: 'column "old_action_ref" does not exist' in caplog.text)
        assert hub.alive
        await asyncio.to_thread(migrate, database)
        assert await collect(subscriber, 1) == [1]
        subscriber.close()
