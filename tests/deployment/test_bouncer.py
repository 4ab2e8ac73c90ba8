"""The whole system through PgBouncer, which lends a connection for one transaction."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from attune.local.redis import EmbeddedRedis
from executions.database import check_direct
from executions.eventlog import Connection
from tests.deployment.examples import open_folder, rendered, running
from tests.observability.test_doctor import doctor
from tests.permissions import grant, withdraw
from tests.programs import program
from tests.rows import add_execution, one
from tests.servers import Stack, add_user, free_port, product_env, wait_for
from tests.sse_client import open_stream

OWN_LOCKS = (
    "locktype = 'advisory' AND database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
def bouncer(request: pytest.FixtureRequest, database: str) -> Iterator[str]:
    """The URL of the test's database through a PgBouncer with `deploy/pgbouncer.ini`."""
    folder, port = open_folder("pgbouncer"), free_port()
    parts = conninfo_to_dict(database)
    replaced = {
        "host=127.0.0.1 port=5432 ": f"host={parts['host']} ",
        "dbname=attune ": f"dbname={parts['dbname']} ",
        "listen_port = 6432": f"listen_port = {port}\nunix_socket_dir =",
        "/etc/pgbouncer": str(folder),
        # So few that whoever is not alone gets another one each time.
        "default_pool_size = 20": "default_pool_size = 3",
        "pool_mode = transaction": f"pool_mode = {getattr(request, 'param', 'transaction')}",
    }
    file = folder / "pgbouncer.ini"
    file.write_text(rendered("pgbouncer.ini", replaced), encoding="utf-8")
    (folder / "userlist.txt").write_text('"postgres" "secret"\n', encoding="utf-8")
    command = [program("pgbouncer"), str(file)]
    if os.geteuid() == 0:  # as which it does not run; and the server's folder is its owner's
        command[1:1] = ["-u", Path(parts["host"]).owner()]
    with running(command, folder / "output", port=port):
        yield f"postgresql://postgres:secret@127.0.0.1:{port}/attune"


@pytest.fixture
def behind(
    bouncer: str, database: str, redis_server: EmbeddedRedis, tmp_path: Path
) -> Iterator[Stack]:
    """A system of which only the worker has a connection to the server itself."""
    env = {**product_env(bouncer), "ATTUNE_LISTEN_DATABASE_URL": database}
    stack = Stack(database, tmp_path, env | {"ATTUNE_ACCESS_CHECK_SECONDS": "0.1"})
    add_user(database, "alice")
    try:
        stack.start_worker()
        stack.start_web(server="uvicorn")
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()


def test_it_works_through_a_bouncer(behind: Stack, bouncer: str) -> None:
    with behind.sql() as conn:
        conn.execute("INSERT INTO attune.pack (ref) VALUES ('tests')")
        conn.execute(
            "INSERT INTO attune.action (ref, pack) SELECT 'tests.run', id FROM attune.pack"
        )
        conn.execute("INSERT INTO attune.pack (ref, restricted) VALUES ('vault', true)")
        execution = add_execution(conn, "tests.run")
        with open_stream(behind.stream_url, behind.token(), last_event_id="earliest") as stream:

            def sees() -> bool:
                secret = add_execution(conn, "vault.open")
                mark = add_execution(conn, "tests.run")
                return secret in {e["entity_id"] for e in stream.until(mark, "requested")}

            assert stream.next()["entity_id"] == execution
            assert not sees()
            grant(conn, "vault", user="alice")
            wait_for(sees, "the right to be noticed")
            withdraw(conn, user="alice")
            wait_for(lambda: not sees(), "its end to be noticed")
        _ask_much(behind, execution)
    with psycopg.connect(bouncer) as pooled:
        assert one(pooled, "SHOW statement_timeout") == "10s"
    for process in behind.processes.values():
        assert "rror" not in process.output


def _ask_much(stack: Stack, execution: int) -> None:
    """Open streams and ask REST, many at a time: each gets whichever connection is free."""
    headers = {"Authorization": f"Bearer {stack.token()}"}
    url = f"{stack.url}/api/v1/executions"

    def ask(number: int) -> list[int]:
        for query in ({"snapshot": "true"}, {"last_event_id": "earliest"}):
            with open_stream(
                stack.stream_url, stack.token(), execution_id=execution, **query
            ) as stream:
                assert stream.next_frame().data
        made = httpx.post(url, headers=headers, json={"action_ref": "tests.run"}, timeout=20)
        told = httpx.get(f"{url}/{execution}/events", headers=headers, timeout=20)
        return [made.status_code, told.status_code]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(12))) == [[201, 200]] * 12


def test_it_names_the_setting_where_listen_does_not_last(
    bouncer: str, database: str, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    stack = Stack(database, tmp_path, product_env(bouncer))
    try:
        worker = stack.start_worker()
        wait_for(lambda: "action=" in worker.output, "the worker to say something")
        with stack.sql() as conn:
            assert one(conn, f"SELECT count(*) FROM pg_locks WHERE {OWN_LOCKS}") == 0
    finally:
        stack.stop()
    line = worker.output.splitlines()[0]
    assert "action=connect retry_in=" in line and "ATTUNE_LISTEN_DATABASE_URL" in line


@pytest.mark.parametrize("bouncer", ["session"], indirect=True)
async def test_it_takes_a_bouncer_that_pools_by_session(bouncer: str) -> None:
    async def connect() -> Connection:
        return await psycopg.AsyncConnection.connect(bouncer, autocommit=True)

    async with await connect() as conn:
        await check_direct(conn, connect)


def test_the_doctor_says_so_too(bouncer: str, database: str, redis_server: EmbeddedRedis) -> None:
    env = product_env(bouncer)
    report = doctor(env)
    assert "ATTUNE_LISTEN_DATABASE_URL" in report.wrong("listen", "nothing is heard")
    direct = doctor(env | {"ATTUNE_LISTEN_DATABASE_URL": database})
    assert [finding["level"] for finding in direct.of("listen")] == ["ok"]
