"""The database dumped and restored elsewhere, and the same database restarted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from attune.local.postgres import EmbeddedPostgres, embedded_program
from attune.local.redis import EmbeddedRedis
from tests import settings
from tests.rows import Connection, add_execution, inbox, one, set_status
from tests.servers import running_stack, wait_for
from tests.sse_client import open_stream


@pytest.fixture
def other_server(redis_server: EmbeddedRedis) -> Iterator[EmbeddedPostgres]:
    """A second PostgreSQL, with nothing in it."""
    folder = settings.FOLDER / f"postgres-{uuid4().hex[:8]}"
    server = EmbeddedPostgres(folder, options={"fsync": "off"})
    server.start()
    yield server
    server.stop()


def copy(database: str, server: EmbeddedPostgres) -> str:
    """Dump the database and restore it into a new one on `server`; return its URL."""
    dump = postgres_program("pg_dump", database)
    server.create_database("restored")
    options = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    postgres_program("psql", server.url("restored"), *options, given=dump)
    return server.url("restored")


def postgres_program(name: str, database: str, *options: str, given: str = "") -> str:
    command = [str(embedded_program(name)), *options, f"--dbname={database}"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def make_room_for_alice(database: str) -> None:
    """`running_stack` is about to add her."""
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("UPDATE attune.auth_user SET username = 'before' WHERE username = 'alice'")


def epoch(conn: Connection) -> str:
    return str(one(conn, "SELECT epoch FROM attune.stream_state"))


@pytest.fixture
def restored(database: str, other_server: EmbeddedPostgres, tmp_path: Path) -> tuple[str, str]:
    """A copy of a database with 10 executions, 20 events, and 10 more that wait; and the
    cursor of a client that had read half of the 20."""
    with running_stack(database, tmp_path / "first") as stack, stack.sql() as conn:
        executions = [add_execution(conn) for _ in range(10)]
        for execution in executions:
            set_status(conn, execution, "running")
        with open_stream(stack.stream_url, stack.token(), last_event_id="earliest") as stream:
            ids = [stream.next_frame().id for _ in range(20)]
        stack.processes.pop("worker").stop()
        for execution in executions:
            set_status(conn, execution, "completed")
        assert (len(inbox(conn)), ids[-1]) == (10, f"{epoch(conn)}-20")
        copied = copy(database, other_server)
    make_room_for_alice(copied)
    return copied, ids[9]


def test_it_goes_on_under_a_new_epoch_where_it_was_restored(
    restored: tuple[str, str], tmp_path: Path
) -> None:
    database, cursor = restored
    with running_stack(database, tmp_path / "second") as stack, stack.sql() as conn:
        wait_for(lambda: inbox(conn) == [], "what waited to be sequenced")
        now = epoch(conn)
        assert not cursor.startswith(now)
        token = stack.token()
        with (
            open_stream(stack.stream_url, token, last_event_id="earliest") as everything,
            open_stream(stack.stream_url, token, resume=cursor) as returned,
            open_stream(stack.stream_url, token) as fresh,
        ):
            assert json.loads(returned.connected.data)["resumed"] is False
            reset = returned.next_frame()
            assert (reset.event, reset.id) == ("reset", f"{now}-30")
            assert json.loads(reset.data)["reason"] == "epoch_changed"
            added = add_execution(conn)
            for stream in (returned, fresh):
                frame = stream.next_frame()
                assert (frame.id, json.loads(frame.data)["entity_id"]) == (f"{now}-31", added)
            frames = [everything.next_frame() for _ in range(31)]
        assert [frame.id for frame in frames] == [f"{now}-{seq}" for seq in range(1, 32)]
        events = [json.loads(frame.data) for frame in frames]
        assert len({(event["entity_id"], event["version"]) for event in events}) == 31
        assert [event["seq"] for event in events] == list(range(1, 32))
        assert {event["data"]["status"] for event in events[20:30]} == {"completed"}


def test_it_goes_on_under_the_same_epoch_after_a_restart(
    database: str, other_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    with running_stack(copy(database, other_server), tmp_path) as stack:
        with open_stream(stack.stream_url, stack.token()) as stream:
            with stack.sql() as conn:
                execution = add_execution(conn)
                first, before = stream.next_frame(), epoch(conn)
            other_server.stop()
            other_server.start()
            with stack.sql() as conn:
                set_status(conn, execution, "running")
                second = stream.next_frame()
                assert (first.id, second.id) == (f"{before}-1", f"{before}-2")
                assert epoch(conn) == before
        stack.wait_ready()
        with open_stream(stack.stream_url, stack.token(), resume=first.id) as stream:
            assert json.loads(stream.connected.data)["resumed"] is True
            assert stream.next_frame().id == second.id
