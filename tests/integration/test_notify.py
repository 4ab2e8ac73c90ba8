"""Writers and workers agreeing on when a NOTIFY is sent (ATTUNE_NOTIFY=adaptive)."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from attune.local.redis import EmbeddedRedis
from tests.integration.test_migrations import migrate
from tests.rows import Connection, add_execution, inbox, one, set_status
from tests.servers import Stack, product_env, wait_for


@pytest.fixture
def adaptive(conn: Connection, database: str) -> Iterator[Connection]:
    """A listening connection to a database whose writers may be silent."""
    migrate(database, ATTUNE_NOTIFY="adaptive")
    with psycopg.connect(database, autocommit=True) as listening:
        listening.execute("LISTEN attune_notifications")
        yield listening


def notified(listening: Connection) -> int:
    """Return how many notifications have come; all of what is committed by now."""
    listening.execute("SELECT 1")
    return len(list(listening.notifies(timeout=0)))


def awaits(conn: Connection) -> str | None:
    answer: str | None = one(conn, "SELECT attune.await_notify_v1()")
    return answer


def test_it_notifies_always_unless_told_otherwise(conn: Connection, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as listening:
        listening.execute("LISTEN attune_notifications")
        add_execution(conn)  # no worker holds a lock
        assert notified(listening) == 1


def test_it_goes_back_to_always(conn: Connection, database: str, adaptive: Connection) -> None:
    add_execution(conn)
    assert notified(adaptive) == 0
    migrate(database)
    add_execution(conn)
    assert notified(adaptive) == 1


@pytest.mark.parametrize("isolation", list(psycopg.IsolationLevel))
def test_it_is_asked_for_only_once_no_silent_writer_is_on_its_way(
    conn: Connection, database: str, adaptive: Connection, isolation: psycopg.IsolationLevel
) -> None:
    execution = add_execution(conn)
    with psycopg.connect(database) as writer, psycopg.connect(database, autocommit=True) as worker:
        writer.isolation_level = isolation
        set_status(writer, execution, "running")
        assert awaits(worker) is None
        writer.commit()
        assert awaits(worker) == "self"
        assert len(inbox(worker)) == 2
        set_status(writer, execution, "completed")
        writer.commit()
        conn.execute("UPDATE attune.execution SET enforcement = 7")
        assert notified(adaptive) == 2


def test_it_is_asked_for_by_one_worker_at_a_time(
    conn: Connection, database: str, adaptive: Connection
) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        assert awaits(other) == "self"
        assert awaits(conn) == "other"
        other.execute("SELECT pg_try_advisory_lock(6386804, 3), pg_advisory_unlock(6386804, 2)")
        assert awaits(conn) == "other"  # which polls
        other.execute("SELECT pg_advisory_unlock(6386804, 3)")
        assert awaits(conn) == "self"


def test_it_is_silent_for_bulk_changes_too(conn: Connection, adaptive: Connection) -> None:
    conn.execute(
        "INSERT INTO attune.execution (action_ref) SELECT 'tests.run' FROM generate_series(1, 500)"
    )
    conn.execute("UPDATE attune.execution SET status = 'running'")
    conn.execute("DELETE FROM attune.execution")
    assert notified(adaptive) == 0
    assert len(inbox(conn)) == 1500


def test_no_commit_goes_unnoticed_while_workers_change_their_mind(
    database: str, adaptive: Connection, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    """Without a tick, a commit that nobody notices stays in the inbox for good."""
    executions = [add_execution(adaptive) for _ in range(4)]
    env = {
        "ATTUNE_WORKER_TICK_SECONDS": "0",
        "ATTUNE_POLL_EVENTS_PER_SECOND": "50",
        "ATTUNE_LOG_LEVEL": "DEBUG",
    }
    stack = Stack(database, tmp_path, product_env(database) | env)
    failed: list[BaseException] = []

    def has_changed_its_mind() -> bool:
        changes = (worker.output.count(f"action={change}") for change in ("poll", "rest"))
        return all(count > 3 for count in changes)

    def write(number: int) -> None:
        """Short bursts and pauses of about the length of a worker's window."""
        dice = random.Random(number)
        try:
            with psycopg.connect(database) as mine:
                mine.isolation_level = list(psycopg.IsolationLevel)[1 + number % 3]
                for turn in range(400):
                    if turn >= 25 and has_changed_its_mind():
                        break
                    for _ in range(dice.randrange(1, 12)):
                        mine.execute(
                            "UPDATE attune.execution SET enforcement = %s WHERE id = %s",
                            [turn, executions[number]],
                        )
                        mine.commit()
                    time.sleep(dice.uniform(0, 0.25))  # a writer's own pace
        except BaseException as exc:
            failed.append(exc)

    try:
        worker = stack.start_worker()
        wait_for(lambda: "action=rest" in worker.output, "the worker to rest")
        writers = [threading.Thread(target=write, args=[n]) for n in range(len(executions))]
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        assert failed == []
        wait_for(lambda: not inbox(adaptive), "the inbox to be emptied without a tick")
        assert has_changed_its_mind()
    finally:
        stack.stop()
