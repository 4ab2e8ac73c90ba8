"""What docs/clients.md and docs/cookbook.md tell to type, typed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from attune.local.postgres import embedded_program
from tests.programs import program
from tests.rows import Connection, add_execution, one, set_status
from tests.servers import PROJECT, Stack, add_user, product_env, wait_for

PYTHON = {".venv/bin/python manage.py": f"{sys.executable} {PROJECT}/manage.py"}
SERVER = {
    "/srv/attune/.venv/bin/python": sys.executable,
    "/srv/attune": str(PROJECT),
}


def block(document: str, heading: str, *, number: int = 0) -> str:
    """Return a block of code that stands below the heading."""
    text = (PROJECT / "docs" / document).read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)[number]


def replaced(code: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        assert name in code, name
        code = code.replace(name, value)
    return code


@pytest.fixture
def env(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has the settings, and a token."""
    with suppress(psycopg.errors.UniqueViolation):
        add_user(stack.database_url, "demo", password_text="demo")
    more = {"ATTUNE_URL": stack.url, "ATTUNE_TOKEN": stack.token()}
    return product_env(stack.database_url) | more | {"ATTUNE_DATA_DIR": str(tmp_path)}


@contextmanager
def running(command: list[str], env: dict[str, str], folder: Path) -> Iterator[Any]:
    child = subprocess.Popen(
        command, env=env, cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def shell(code: str, env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", code], env=env, cwd=folder, capture_output=True, text=True, timeout=60
    )


def streams(stack: Stack) -> bool:
    return stack.metric("attune_streams") == 1


def newest(conn: Connection, action_ref: str) -> dict[str, Any]:
    query = "SELECT to_jsonb(e) FROM attune.execution e WHERE action_ref = %s ORDER BY id DESC"
    found: dict[str, Any] = one(conn, f"{query} LIMIT 1", action_ref)
    return found


# --- clients.md ---------------------------------------------------------------------------
def python(stack: Stack, number: int, *arguments: object) -> list[str]:
    code = block("clients.md", "Python", number=number)
    code = replaced(code, {"http://127.0.0.1:8080": stack.url})
    return [sys.executable, "-c", code, *map(str, arguments)]


def test_it_reads_in_python(stack: Stack, env: dict[str, str], tmp_path: Path) -> None:
    with stack.sql() as conn:
        root = add_execution(conn)
        child = add_execution(conn, parent=root)
        with running(python(stack, 0, root), env, tmp_path) as reader:
            wait_for(lambda: streams(stack), "the snippet to connect")
            set_status(conn, child, "failed")
            set_status(conn, root, "completed")
            assert reader.stdout.read().splitlines() == [
                f"{child} None requested",
                f"{root} None requested",
                f"{child} requested failed",
                f"{root} requested completed",
            ]
            assert reader.wait() == 0


def test_it_reads_in_javascript(stack: Stack, env: dict[str, str], tmp_path: Path) -> None:
    modules = {"./streaming": (PROJECT / "streaming").as_uri(), "http://127.0.0.1:8080": stack.url}
    (tmp_path / "watch.mjs").write_text(replaced(block("clients.md", "JavaScript"), modules))
    with stack.sql() as conn:
        root = add_execution(conn)
        command = [program("node"), "watch.mjs", str(root)]
        with running(command, env, tmp_path) as reader:
            assert reader.stdout.readline() == f"{root} null requested\n"
            set_status(conn, root, "completed")
            assert reader.stdout.read() == f"{root} requested completed\n"
            assert reader.wait() == 0


def test_it_reads_with_asyncio(stack: Stack, env: dict[str, str], tmp_path: Path) -> None:
    with stack.sql() as conn, running(python(stack, 1), env, tmp_path) as reader:
        wait_for(lambda: streams(stack), "the snippet to connect")
        failed = add_execution(conn, status="failed")
        assert reader.stdout.readline() == f"#{failed} tests.run\n"


def test_it_keeps_a_cursor(stack: Stack, env: dict[str, str], tmp_path: Path) -> None:
    pack = f"reports-{uuid4().hex}"
    command = python(stack, 2)
    command[2] = replaced(command[2], {'"reports"': f'"{pack}"'})
    with stack.sql() as conn:
        execution = add_execution(conn, f"{pack}.one")
        kept, before = tmp_path / "attune.cursor", ""
        for status in ("requested", "running", "completed"):
            if before:
                set_status(conn, execution, status)
            with running(command, env, tmp_path) as reader:
                assert reader.stdout.readline() == f"{execution} {status}\n"
                wait_for(kept.exists, "the cursor")
                wait_for(lambda before=before: kept.read_text() not in ("", before), "the cursor")
            before = kept.read_text()


def test_it_reads_with_curl(stack: Stack, env: dict[str, str], tmp_path: Path) -> None:
    code = block("clients.md", "curl").replace("http://127.0.0.1:8080", stack.url)
    with stack.sql() as conn, running(["bash", "-c", code], env, tmp_path) as reader:
        wait_for(lambda: streams(stack), "curl to connect")
        execution = add_execution(conn, "reports.monthly")
        assert any(f'"entity_id":{execution},' in line for line in reader.stdout)


def test_it_watches(stack: Stack, env: dict[str, str], tmp_path: Path) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn, "reports.monthly", status="failed", result='{"pages": 1}')
        code = replaced(block("clients.md", "A terminal or a script"), PYTHON)
        one, tree, listed, lines = code.replace(" 12", f" {execution}").splitlines()
        with ThreadPoolExecutor() as threads:
            ended = threads.map(lambda command: shell(command, env, tmp_path), (one, tree, lines))
            assert [done.returncode for done in ended] == [1, 1, 1]
        assert '"pages":1' in (tmp_path / "events.jsonl").read_text()
        with running(["bash", "-c", f"exec {listed}"], env, tmp_path) as watch:
            assert any(f"#{execution} reports.monthly  is failed" in x for x in watch.stdout)


@pytest.fixture
def _role(conn: Connection) -> Iterator[None]:
    yield
    conn.execute("DROP OWNED BY reporter")
    conn.execute("DROP ROLE reporter")


@pytest.mark.usefixtures("_role")
def test_it_writes_in_sql_with_few_rights(conn: Connection, database: str, tmp_path: Path) -> None:
    env = os.environ | {"ON_ERROR_STOP": "1"}

    def psql(code: str, user: str) -> None:
        url = database.replace("postgres@", f"{user}@")
        program = [str(embedded_program("psql")), url, "-qX", "-v", "ON_ERROR_STOP=1"]
        subprocess.run(program, input=code, env=env, text=True, check=True)

    psql(block("clients.md", "SQL", number=1), "postgres")
    psql(block("clients.md", "SQL"), "reporter")
    row = newest(conn, "reports.monthly")
    assert (row["status"], row["version"], row["result"]) == ("completed", 3, {"pages": 12})
    # Those rights are enough for `track`, too.
    track = [sys.executable, str(PROJECT / "manage.py"), "track", "--", "true"]
    ours = product_env(database.replace("postgres@", "reporter@"))
    subprocess.run(track, env=ours | {"ATTUNE_DATA_DIR": str(tmp_path)}, check=True)
    assert newest(conn, "shell.true")["status"] == "completed"


def test_it_writes_by_the_orm(env: dict[str, str], tmp_path: Path) -> None:
    code = block("clients.md", "Django's ORM")
    command = [sys.executable, str(PROJECT / "manage.py"), "shell", "-v", "0", "-c", code]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "completed 3 True\n", done.stderr


def test_it_writes_from_the_shell(stack: Stack, env: dict[str, str], tmp_path: Path) -> None:
    script(tmp_path / "report.sh", "echo report for $1; exit 3")
    done = shell(replaced(block("clients.md", "The shell"), PYTHON), env, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "report for 2026-01\n", "")
    with stack.sql() as conn:
        row = newest(conn, "reports.monthly")
    assert (row["status"], row["result"]["exit_code"]) == ("failed", 3)


# --- cookbook.md --------------------------------------------------------------------------
def script(path: Path, code: str) -> None:
    path.write_text(code if code.startswith("#!") else f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)


def test_it_sees_a_cron_job(stack: Stack, env: dict[str, str], tmp_path: Path) -> None:
    heading = "A cron job that is seen"
    line = block("cookbook.md", heading).split(None, 6)
    assert line[:6] == ["15", "3", "*", "*", "*", "backup"]
    settings = {k: v for k, v in env.items() if k.startswith(("ATTUNE_", "DATABASE_", "REDIS_"))}
    (tmp_path / "env").write_text("".join(f"{k}={shlex.quote(v)}\n" for k, v in settings.items()))
    script(tmp_path / "backup", "echo backed up $1; exit 9")
    script(tmp_path / "logger", 'cat >> log; echo "$@" >> log')
    own = {"/etc/attune.env": f"{tmp_path}/env", "/usr/local/bin/backup": f"{tmp_path}/backup"}
    bare = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}  # what cron gives, and a logger
    alert = replaced(block("cookbook.md", heading, number=1), SERVER)
    with stack.sql() as conn, running(["sh", "-c", alert], env | bare, tmp_path):
        wait_for(lambda: streams(stack), "the watch to begin")
        done = shell(replaced(line[6], SERVER | own), bare, tmp_path)
        assert (done.returncode, done.stdout) == (9, "backed up --all\n")
        row = newest(conn, "backup.nightly")
        assert (row["status"], row["config"]["command"][1]) == ("failed", "--all")
        wait_for((tmp_path / "log").exists, "the alert")
        wait_for(lambda: "-t backup -p user.err" in (tmp_path / "log").read_text(), "the alert")
        assert f'"entity_id":{row["id"]},' in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 1)])
def test_it_waits_for_a_deployment(
    stack: Stack, env: dict[str, str], tmp_path: Path, status: str, code: int
) -> None:
    ref = f"deploy{uuid4().hex[:8]}.web"
    with stack.sql() as conn:
        add_action(conn, ref)
        job = replaced(
            block("cookbook.md", "A CI job that waits for a deployment"),
            SERVER | {"deploy.web": ref},
        )
        with running(["bash", "-c", job], env, tmp_path) as waiting:
            address = waiting.stdout.readline()
            execution = newest(conn, ref)["id"]
            assert address == f"deployment: {stack.url}/executions/{execution}/\n"
            assert waiting.stdout.readline().endswith("is requested\n")
            set_status(conn, execution, status)
            assert waiting.wait(timeout=20) == code


def add_action(conn: Connection, ref: str) -> None:
    pack = ref.split(".")[0]
    conn.execute("INSERT INTO attune.pack (ref) VALUES (%s)", [pack])
    insert = "INSERT INTO attune.action (ref, pack) SELECT %s, id FROM attune.pack WHERE ref = %s"
    conn.execute(insert, [ref, pack])


def test_it_makes_a_pipeline_a_tree(stack: Stack, env: dict[str, str], tmp_path: Path) -> None:
    heading = "A pipeline with children"
    script(tmp_path / "pipeline.sh", replaced(block("cookbook.md", heading), SERVER))
    done = shell(replaced(block("cookbook.md", heading, number=1), SERVER), env, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "rows extracted\nrows transformed\nrows loaded\n"
    with stack.sql() as conn:
        root = newest(conn, "etl.nightly")
        children = conn.execute(
            "SELECT action_ref, status FROM attune.execution WHERE parent = %s", [root["id"]]
        ).fetchall()
    assert root["status"] == "completed"
    steps = ("check", "extract", "load", "transform")
    assert sorted(children) == [(f"etl.{step}", "completed") for step in steps]
