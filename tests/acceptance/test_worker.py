"""`manage.py runworker` as a process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands
from redis import Redis

from attune.local.redis import EmbeddedRedis
from tests.integration.test_migrations import migrate
from tests.rows import add_execution, one
from tests.servers import Stack, product_env, wait_for


@pytest.fixture
def workers(database: str, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Stack]:
    """A database without anything running on it yet."""
    stack = Stack(database, tmp_path, product_env(database))
    yield stack
    stack.stop()


def test_it_shadows_the_command_of_channels() -> None:
    assert get_commands()["runworker"] == "streaming"


def test_it_is_the_worker_of_channels_when_given_channel_names(
    workers: Stack, redis_server: EmbeddedRedis
) -> None:
    worker = workers._spawn("channels", [sys.executable, "manage.py", "runworker", "thumbs"], {})
    with Redis(unix_socket_path=redis_server.url.removeprefix("unix://")) as redis:
        wait_for(lambda: redis.pubsub_channels("*thumbs*"), "the Channels worker to subscribe")
    assert "action=listen" not in worker.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_on_a_signal(workers: Stack, number: int) -> None:
    worker = workers.start_worker()
    wait_for(lambda: "action=listen" in worker.output, "the worker to listen")
    worker.child.send_signal(number)
    assert worker.child.wait(timeout=10) == 0
    assert "action=stop" in worker.output
    assert "Traceback" not in worker.output


def test_it_says_in_one_line_that_the_database_is_away_and_goes_on_trying(workers: Stack) -> None:
    worker = workers.start_worker(DATABASE_URL="postgresql://postgres@/attune?host=/nonexistent")
    wait_for(lambda: worker.output.count("action=connect") >= 2, "a second try")
    assert all("action=connect retry_in=" in line for line in worker.output.splitlines())
    assert "/nonexistent" in worker.output
    assert worker.stop() == 0


def test_it_says_in_one_line_that_redis_is_away_and_sequences_on(workers: Stack) -> None:
    worker = workers.start_worker(REDIS_URL="unix:///nonexistent/redis.sock")
    with workers.sql() as conn:
        add_execution(conn)
        wait_for(lambda: one(conn, "SELECT last_seq FROM attune.stream_state") == 1, "the log")
    wait_for(lambda: "action=publish state=failing" in worker.output, "the failure to be told")
    assert "Traceback" not in worker.output
    assert worker.output.count("action=publish") == 1
    assert worker.stop() == 0


def test_it_says_that_the_database_is_not_migrated(workers: Stack) -> None:
    with workers.sql() as conn:
        conn.execute("ALTER SCHEMA attune RENAME TO elsewhere")
        worker = workers.start_worker()
        wait_for(lambda: "manage.py migrate" in worker.output, "the advice")
    assert "Traceback" not in worker.output


def test_it_leaves_a_backend_that_no_longer_answers(workers: Stack) -> None:
    worker = workers.start_worker(ATTUNE_ROUND_TRIP_SECONDS="0.3", ATTUNE_WORKER_TICK_SECONDS="0")
    wait_for(lambda: "action=listen" in worker.output, "the worker to listen")
    with workers.sql() as conn:
        # Between two statements: stopped inside of the sequencer, it would hold its lock.
        backend = wait_for(
            lambda: one(
                conn,
                "SELECT max(pid) FROM pg_stat_activity WHERE application_name = 'attune worker'"
                " AND datname = current_database() AND state = 'idle'"
                " AND position('sequence_v4' in query) > 0",
            ),
            "the worker to wait",
        )
        os.kill(backend, signal.SIGSTOP)
        try:
            wait_for(lambda: worker.output.count("action=listen") == 2, "a second connection")
        finally:
            os.kill(backend, signal.SIGCONT)
        add_execution(conn)
        wait_for(lambda: one(conn, "SELECT last_seq FROM attune.stream_state") == 1, "the log")


def test_two_of_them_carry_on_when_one_is_killed(workers: Stack) -> None:
    first, second = workers.start_worker("first"), workers.start_worker("second")
    for worker in (first, second):
        wait_for(lambda w=worker: "action=listen" in w.output, "the workers to listen")
    with workers.sql() as conn:
        for number in range(1, 31):
            add_execution(conn)
            if number == 15:
                first.kill()
        wait_for(lambda: one(conn, "SELECT last_seq FROM attune.stream_state") == 30, "the log")


def test_it_takes_less_at_once_where_that_takes_too_long(workers: Stack) -> None:
    with workers.sql() as conn:
        conn.execute("""
            CREATE FUNCTION attune.slowly() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END';
            CREATE TRIGGER slowly BEFORE INSERT ON attune.execution_event
                FOR EACH ROW EXECUTE FUNCTION attune.slowly();
            INSERT INTO attune.execution (action_ref)
                SELECT 'tests.run' FROM generate_series(1, 64);
        """)
        workers.start_worker(ATTUNE_ROUND_TRIP_SECONDS="0.3", ATTUNE_BATCH_EVENTS="64")
        wait_for(lambda: one(conn, "SELECT last_seq FROM attune.stream_state") == 64, "the log")


def test_it_looks_after_one_that_it_relies_on_though_it_has_no_tick(
    workers: Stack, database: str
) -> None:
    migrate(database, ATTUNE_NOTIFY="adaptive")
    env = {
        "ATTUNE_NOTIFY": "adaptive",
        "ATTUNE_WORKER_TICK_SECONDS": "0",
        "ATTUNE_LOG_LEVEL": "DEBUG",
    }
    first = workers.start_worker("first", **env)
    wait_for(lambda: "action=rest notified=self" in first.output, "the first to rest")
    second = workers.start_worker("second", **env)
    wait_for(lambda: "action=rest notified=other" in second.output, "the second to rest")
    first.kill()
    with workers.sql() as conn:
        add_execution(conn)
        wait_for(lambda: one(conn, "SELECT last_seq FROM attune.stream_state") == 1, "the log")
