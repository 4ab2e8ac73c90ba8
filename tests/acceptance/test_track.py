"""`manage.py track -- COMMAND`: what becomes of the command, and what of its record."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest

from executions.management.commands.track import Command
from tests.gate import Gate, gate_to
from tests.rows import Connection, column, events, one, sequence, set_status
from tests.servers import PROJECT, Stack, product_env, wait_for
from tests.terminal import on_terminal

TRACK = [sys.executable, str(PROJECT / "manage.py"), "track"]


@pytest.fixture
def env(database: str, tmp_path: Path) -> dict[str, str]:
    ours = product_env(database) | {"ATTUNE_DATA_DIR": str(tmp_path)}
    return {name: value for name, value in ours.items() if name != "TZ"}


@pytest.fixture
def gate(database: str) -> Iterator[Gate]:
    with gate_to(database) as gate:
        yield gate


def track(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TRACK, *arguments], env=env, capture_output=True, text=True, timeout=60)


@contextmanager
def tracking(env: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command whose standard input is ours."""
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        [*TRACK, *arguments],
        env=env,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
        # Under nohup, as tests may be, it is ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # and what it has started
        child.wait()
        for end in (child.stdin, child.stdout, child.stderr):
            assert end is not None
            end.close()


def row(conn: Connection) -> dict[str, Any]:
    """Return the newest execution."""
    row = conn.execute(
        "SELECT to_jsonb(e) FROM attune.execution e ORDER BY id DESC LIMIT 1"
    ).fetchone()
    assert row is not None
    return dict(row[0])


def rows(conn: Connection) -> int:
    return int(one(conn, "SELECT count(*) FROM attune.execution"))


# --- the record ---------------------------------------------------------------------------
def test_it_records_a_command_and_those_below_it(
    conn: Connection, env: dict[str, str], tmp_path: Path
) -> None:
    conn.execute("INSERT INTO attune.pack (ref) VALUES ('ci')")
    conn.execute("INSERT INTO attune.action (ref, pack) SELECT 'ci.build', id FROM attune.pack")
    inner = shlex.join([*TRACK, "--", "false"])
    script = f"echo out; echo err >&2; env > {tmp_path}/env; {inner} || echo again"
    done = track(env, "--action", "ci.build", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\nagain\n", "err\n")
    parent, child = (
        dict(found[0])
        for found in conn.execute("SELECT to_jsonb(e) FROM attune.execution e ORDER BY id")
    )
    assert (parent["status"], parent["action_ref"]) == ("completed", "ci.build")
    assert parent["action"] is not None and parent["started"] < parent["finished"]
    assert parent["config"]["command"] == ["sh", "-c", script]
    result = parent["result"]
    assert 0 < result.pop("duration_seconds") < 20
    assert sorted(result.pop("output").split()) == ["again", "err", "out"]
    assert result == {"exit_code": 0, "signal": None, "output_truncated": False}
    assert (child["status"], child["action_ref"]) == ("failed", "shell.false")
    assert (child["parent"], child["result"]["exit_code"]) == (parent["id"], 1)
    sequence(conn)
    steps = [(e["op"], e["data"]["status"]) for e in events(conn) if e["entity_id"] == child["id"]]
    assert steps == [("INSERT", "requested"), ("UPDATE", "running"), ("UPDATE", "failed")]
    # The command's environment is the caller's, whatever Django does to ours.
    seen = dict(x.split("=", 1) for x in (tmp_path / "env").read_text().splitlines() if "=" in x)
    assert "TZ" not in seen and "DJANGO_SETTINGS_MODULE" not in seen
    assert seen["ATTUNE_EXECUTION_ID"] == str(parent["id"])


def test_it_keeps_the_exit_status(conn: Connection, env: dict[str, str]) -> None:
    expected = {
        ("sh", "-c", "exit 7"): (7, None),
        ("sh", "-c", "kill -KILL $$"): (137, "SIGKILL"),
        ("sh", "-c", "kill -40 $$"): (168, "SIG40"),  # of real time, without a name
        ("/nowhere/to/be/found",): (127, None),
        ("/etc/passwd",): (126, None),
    }
    with ThreadPoolExecutor() as threads:
        ended = list(threads.map(lambda command: track(env, "--", *command), expected))
    assert [done.returncode for done in ended] == [code for code, _ in expected.values()]
    found = conn.execute("SELECT config->'command', status, result FROM attune.execution")
    for command, status, result in found.fetchall():
        told = (result["exit_code"], result["signal"])
        assert (status, told) == ("failed", expected.pop(tuple(command)))
    assert expected == {}


def test_it_keeps_the_end_of_the_output_as_postgresql_takes_it(
    conn: Connection, env: dict[str, str]
) -> None:
    script = r"printf '\303\244%.0s' $(seq 5000); printf '\000\377'; echo end"
    done = subprocess.run(
        [*TRACK, "--", b"sh", b"-c", script.encode(), b"\xff"], env=env, capture_output=True
    )
    assert done.stdout == "ä".encode() * 5000 + b"\x00\xffend\n"
    result = row(conn)["result"]
    assert result["output_truncated"] and result["output"].endswith("ä\ufffd\ufffdend\n")
    assert set(result["output"][:4000]) == {"ä"} and len(result["output"].encode()) < 8300


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--"],
        ["--action", "x", "--", "true"],
        ["--parent", "x", "--", "true"],
        ["--grace", "soon", "--", "true"],
        ["--patience", "-1", "--", "true"],
        ["--flush", "--", "true"],
    ],
)
def test_it_refuses_what_it_cannot_do(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as refused:
        Command().run_from_argv(["manage.py", "track", *arguments])
    assert refused.value.code == 2 and capsys.readouterr().err


# --- the command --------------------------------------------------------------------------
def test_it_passes_input_and_output_through_as_they_come(env: dict[str, str]) -> None:
    with tracking(env, "--", "sh", "-c", "printf '? '; read x; echo $x; sleep 60 &") as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.read(2) == "? "  # no line end, and the command goes on
        child.stdin.write("answer\n")
        child.stdin.flush()
        assert child.stdout.readline() == "answer\n"
        # What it leaves behind has the pipes still open, and is not waited for.
        assert child.wait(timeout=20) == 0


def test_it_does_not_wait_for_what_is_left_behind(env: dict[str, str]) -> None:
    done = track(env, "--", "sh", "-c", "yes & echo over >&2; exit 6")
    assert (done.returncode, done.stderr) == (6, "over\n")


def test_it_ends_where_nobody_reads_any_more(env: dict[str, str]) -> None:
    with tracking(env, "--", "yes") as child:
        assert child.stdout is not None and child.stdout.readline() == "y\n"
        child.stdout.close()
        assert child.wait(timeout=20) == 128 + signal.SIGPIPE


def test_it_forwards_signals(env: dict[str, str]) -> None:
    names = ("TERM", "INT", "HUP", "USR1")
    traps = "; ".join(f"trap 'echo {name}' {name}" for name in names)
    script = f"{traps}; echo ready; while :; do sleep 0.01; done"
    with tracking(env, "--", "sh", "-c", script) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        for name in names:
            child.send_signal(getattr(signal, f"SIG{name}"))
            assert child.stdout.readline() == f"{name}\n"


def test_it_sends_what_is_typed_only_once(conn: Connection, env: dict[str, str]) -> None:
    script = "trap 'echo got INT' INT; echo ready; read x; sleep 0.2; exit 5"
    with on_terminal([*TRACK, "--", "bash", "-c", script], env) as terminal:
        wait_for(lambda: "ready" in terminal.text, "the command to start")
        terminal.type(b"\x03")
        wait_for(lambda: "got INT" in terminal.text, "the signal")
        terminal.type(b"\n")
        assert terminal.child.wait(timeout=20) == 5
        assert terminal.text.count("got INT") == 1
    assert row(conn)["result"]["exit_code"] == 5


def test_it_is_stopped_when_it_is_cancelled(stack: Stack, tmp_path: Path) -> None:
    env = product_env(stack.database_url) | {"ATTUNE_DATA_DIR": str(tmp_path)}
    asked = ("--action", f"tests.cancel{uuid4().hex}", "--grace", "0.5", "--", "sh", "-c")
    willing = "sleep 60 & echo $!; wait"
    deaf = "trap '' TERM; echo $$; while :; do sleep 1; done"
    with (
        stack.sql() as conn,
        tracking(env, *asked, willing) as one,
        tracking(env, *asked, deaf) as other,
    ):
        for child, code in ((one, 128 + signal.SIGTERM), (other, 128 + signal.SIGKILL)):
            assert child.stdout is not None
            descendant = psutil.Process(int(child.stdout.readline()))
            key = descendant.environ()["ATTUNE_EXECUTION_ID"]
            assert cancel(stack, key)["status"] == "canceling"
            assert child.wait(timeout=20) == code
            assert column(conn, int(key), "status") == "cancelled"
            assert column(conn, int(key), "result")["exit_code"] == code
            wait_for(lambda d=descendant: not d.is_running(), "what it had started to end")


def cancel(stack: Stack, key: str) -> dict[str, Any]:
    """Cancel an execution as the page does."""
    headers = {"Authorization": f"Bearer {stack.token()}"}
    url = f"{stack.url}/api/v1/executions/{key}/cancel"
    answer: dict[str, Any] = httpx.post(url, headers=headers).raise_for_status().json()
    return answer


# --- without the database -----------------------------------------------------------------
def waiting(child: subprocess.Popen[str]) -> Callable[[], bool]:
    """Return a test of whether the command has ended, and `track` waits for the database."""
    return lambda: child.poll() is not None or not psutil.Process(child.pid).children()


def test_it_records_afterwards_what_ran_without_the_database(
    conn: Connection, env: dict[str, str], gate: Gate
) -> None:
    gate.shut()
    asked = ("--", "sh", "-c", "echo begun; read x; echo over; exit 4")
    with tracking(env | {"DATABASE_URL": gate.url}, *asked) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        assert child.stdout.readline() == "begun\n"
        assert "not recorded for now" in child.stderr.readline()
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "over\n"
        wait_for(waiting(child), "the command to end")
        ended = one(conn, "SELECT clock_timestamp()") + timedelta(seconds=0.5)
        wait_for(lambda: one(conn, "SELECT clock_timestamp()") > ended, "time to pass")
        gate.open()
        assert child.wait(timeout=20) == 4
        assert child.stderr.readline().startswith("attune: recorded as #")
    found = row(conn)
    assert (found["status"], found["result"]["output"]) == ("failed", "begun\nover\n")
    assert found["created"] < found["started"] < found["finished"] < ended.isoformat()
    sequence(conn)
    steps = [event["data"]["status"] for event in events(conn)]
    assert steps == ["requested", "running", "failed"] and rows(conn) == 1


def test_it_records_afterwards_what_the_database_left(
    conn: Connection, env: dict[str, str], gate: Gate
) -> None:
    with tracking(env | {"DATABASE_URL": gate.url}, "--", "sh", "-c", "echo a; read x") as child:
        assert child.stdout is not None and child.stdout.readline() == "a\n"
        wait_for(lambda: row(conn)["status"] == "running", "the row")
        gate.shut()
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        wait_for(waiting(child), "the command to end")
        assert row(conn)["status"] == "running"
        gate.open()
        assert child.wait(timeout=20) == 0
    assert row(conn)["status"] == "completed" and rows(conn) == 1


def test_it_keeps_in_a_file_what_cannot_be_recorded(
    conn: Connection, env: dict[str, str], gate: Gate, tmp_path: Path
) -> None:
    gate.stall()  # worse than away: connections hang
    away = env | {"DATABASE_URL": gate.url}
    with (
        tracking(away, "--patience", "0.1", "--", "sh", "-c", "exit 3") as short,
        tracking(away, "--", "sh", "-c", "echo x; exit 4") as stopped,
    ):
        assert stopped.stdout is not None and stopped.stdout.readline() == "x\n"
        wait_for(waiting(stopped), "the command to end")
        stopped.terminate()  # ends the wait, too
        for child, code in ((short, 3), (stopped, 4)):
            assert child.wait(timeout=20) == code
            assert child.stderr is not None and "kept in" in child.stderr.readlines()[-1]
    kept = list((tmp_path / "track").iterdir())
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600, 0o600]
    assert rows(conn) == 0
    (tmp_path / "track" / "broken.json").write_text("{}")
    gate.open()
    # The next command writes them.
    done = track(away, "--", "true")
    assert done.returncode == 0 and done.stderr.count("attune: recorded shell.sh") == 2
    codes = conn.execute("SELECT result->>'exit_code' FROM attune.execution ORDER BY 1").fetchall()
    assert codes == [("0",), ("3",), ("4",)]
    assert [path.name for path in (tmp_path / "track").iterdir()] == ["broken.json"]
    assert track(away, "--flush").returncode == 1
    assert rows(conn) == 3


def test_it_abandons_what_was_killed_with_its_tracker(
    conn: Connection, env: dict[str, str], tmp_path: Path
) -> None:
    asked = ("--", "sh", "-c", "echo a; read x")
    with tracking(env, *asked) as killed, tracking(env, *asked) as living:
        for child in (killed, living):
            assert child.stdout is not None and child.stdout.readline() == "a\n"
        running = "SELECT count(*) = 2 FROM attune.execution WHERE status = 'running'"
        wait_for(lambda: one(conn, running), "the rows")
        killed.kill()
        killed.wait()
        done = track(env, "--", "true")  # the next one finds it
        assert done.returncode == 0 and "whose `track` was killed" in done.stderr
        assert len(list((tmp_path / "track").iterdir())) == 1
        living.stdin.close()  # type: ignore[union-attr]
        assert living.wait(timeout=20) == 1
    found = conn.execute(
        "SELECT status, started <= finished AND finished <= now(), result->>'error'"
        " FROM attune.execution ORDER BY status"
    ).fetchall()
    assert [row[:2] for row in found] == [
        ("abandoned", True),
        ("completed", True),
        ("failed", True),
    ]
    assert "killed" in found[0][2]
    assert list((tmp_path / "track").iterdir()) == []
    assert track(env, "--flush").stderr == ""


def test_it_leaves_alone_what_somebody_else_has_ended(
    conn: Connection, env: dict[str, str]
) -> None:
    with tracking(env, "--", "sh", "-c", "echo a; read x") as child:
        assert child.stdout is not None and child.stdout.readline() == "a\n"
        wait_for(lambda: row(conn)["status"] == "running", "the row")
        set_status(conn, row(conn)["id"], "abandoned")
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(timeout=20) == 1
    found = row(conn)
    assert (found["status"], found["result"]["exit_code"]) == ("abandoned", 1)


def test_it_runs_where_the_tables_are_missing(
    postgres: Any, env: dict[str, str], tmp_path: Path
) -> None:
    name = f"empty_{tmp_path.name[-8:]}".replace("-", "_")
    postgres.create_database(name)
    try:
        elsewhere = env | {"DATABASE_URL": postgres.url(name)}
        done = track(elsewhere, "--patience", "0.1", "--", "echo", "done")
        assert (done.returncode, done.stdout) == (0, "done\n") and "kept in" in done.stderr
    finally:
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
