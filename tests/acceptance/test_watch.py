"""`manage.py watch` as people and scripts use it: on a terminal, in a pipe, for its status."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from attune.local.paths import LocalPaths
from streaming.management.commands.watch import Command
from tests.acceptance.test_up import free_port, up, up_env
from tests.rows import Connection, add_execution, one, set_status
from tests.servers import PROJECT, Stack, product_env, wait_for
from tests.terminal import on_terminal

COMMAND = [sys.executable, str(PROJECT / "manage.py"), "watch"]


def env_of(stack: Stack) -> dict[str, str]:
    """Return the environment of a machine that has attune's address and a token, and no more."""
    env = product_env("postgresql://nobody@127.0.0.1:9/nowhere")
    return {**env, "ATTUNE_URL": stack.url, "ATTUNE_TOKEN": stack.token()}


@contextmanager
def watching(stack: Stack, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=env_of(stack),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def status_of(stack: Stack, settings: Any, *arguments: object, **who: str) -> int:
    """Return the exit status of a watch that is over at once."""
    settings.WATCH = settings.WATCH | {"url": stack.url, "token": stack.token(), **who}
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "watch", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


# --- what a script asks -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["completed"], 0),
        (["failed"], 1),
        (["timeout"], 1),
        (["abandoned"], 1),
        (["cancelled"], 3),
        (["completed", "completed"], 0),
        (["completed", "cancelled"], 3),
        (["failed", "cancelled"], 1),
    ],
)
def test_it_exits_with_how_it_ended(
    stack: Stack, settings: Any, statuses: list[str], code: int
) -> None:
    with stack.sql() as conn:
        executions = [add_execution(conn, status=status) for status in statuses]
    assert status_of(stack, settings, *executions) == code


def test_it_exits_with_how_the_root_ended(stack: Stack, settings: Any, capsys: Any) -> None:
    with stack.sql() as conn:
        root = add_execution(conn, status="completed")
        child = add_execution(conn, status="failed", parent=root)
    assert status_of(stack, settings, "--root", root) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == [
        f"#{root}",
        f"#{child}",
    ]


def test_it_gives_up_after_its_own_timeout(stack: Stack, settings: Any, capsys: Any) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn)
    assert status_of(stack, settings, execution, "--timeout", "0.2") == 124
    assert "not over after 0.2 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["x"],
        ["0"],
        ["-1"],
        ["1", "--root", "2"],
        ["--root", "2", "--filter", "status=running"],
        ["--filter", "status"],
        ["--filter", "colour=red"],
        ["--filter", "status="],
        ["--filter", "status=running", "--wait-for"],
        ["--wait-for"],
        ["1", "--timeout", "soon"],
        ["1", "--timeout", "nan"],
        ["1", "--timeout", "0"],
        ["--filter", "status=nonsense"],  # which the server says
        [str(2**62)],
    ],
)
def test_it_refuses_what_it_cannot_do(
    stack: Stack, settings: Any, capsys: Any, arguments: list[str]
) -> None:
    assert status_of(stack, settings, *arguments) == 2
    written = capsys.readouterr()
    assert written.out == "" and written.err


def test_it_refuses_whom_it_does_not_know(stack: Stack, settings: Any, capsys: Any) -> None:
    for who, said in (
        ({"token": "", "username": ""}, "who are you"),
        ({"token": "rubbish"}, "oken"),
        ({"token": "", "username": "alice", "password": "wrong"}, "'alice'"),
    ):
        assert status_of(stack, settings, 1, **who) == 2
        written = capsys.readouterr()
        assert written.out == "" and said in written.err


def test_it_refuses_wrong_settings_as_wrong_usage(stack: Stack) -> None:
    env = env_of(stack) | {"ATTUNE_HTTPS": "perhaps"}
    done = subprocess.run([*COMMAND, "1"], env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("attune: ATTUNE_HTTPS: ")


# --- lines --------------------------------------------------------------------------------
def test_it_writes_a_line_for_each_change(stack: Stack) -> None:
    with stack.sql() as conn:
        root = add_execution(conn, "tests.\x1b[31mred")
        with watching(stack, "--root", root) as watch:
            assert watch.stdout is not None
            first = watch.stdout.readline()
            child = add_execution(conn, parent=root)
            for execution, status in ((child, "running"), (child, "failed"), (root, "completed")):
                set_status(conn, execution, status)
            told = watch.communicate()[0].splitlines()
        assert first.endswith(f"#{root} tests.\ufffd[31mred  is requested\n")
        assert [line.split("  ", 1)[1] for line in told][:2] == [
            f"#{child} tests.run  requested",
            f"#{child} tests.run  requested -> running",
        ]
        assert " running -> failed after " in told[2] and len(told) == 4
        assert watch.returncode == 0


def test_it_writes_json_and_ends_with_a_pipe_or_a_signal(stack: Stack) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn, "tests.json")
        asked = ("--filter", "action_ref=tests.json", "--filter", "status=requested", "--json")
        with (
            watching(stack, *asked) as watch,
            watching(stack, *asked) as interrupted,
            watching(stack, *asked) as cut,
        ):
            for child in (watch, interrupted, cut):
                assert child.stdout is not None
                state = json.loads(child.stdout.readline())
                assert (state["op"], state["entity_id"]) == ("SNAPSHOT", execution)
            interrupted.send_signal(signal.SIGINT)
            assert interrupted.wait(timeout=20) == 130
            cut.stdout.close()
            set_status(conn, execution, "running")
            line = json.loads(watch.stdout.readline())
            assert (line["old_status"], line["data"]["status"]) == ("requested", "running")
            assert cut.wait(timeout=20) == 128 + signal.SIGPIPE
            watch.terminate()
            assert watch.communicate(timeout=20)[1] == ""
            assert watch.returncode == 128 + signal.SIGTERM
            assert cut.stderr is not None and cut.stderr.read() == ""
            cut.stdout = None


def test_it_waits_for_an_id_that_does_not_exist_yet(stack: Stack) -> None:
    with stack.sql() as conn:
        execution = one(conn, "SELECT nextval(pg_get_serial_sequence('attune.execution', 'id'))")
        with watching(stack, "--wait-for", execution) as watch:
            assert watch.stderr is not None
            assert "no such execution" in watch.stderr.readline()
            add_execution(conn, id=execution, status="cancelled")
            assert "is cancelled" in watch.communicate(timeout=20)[0]
        assert watch.returncode == 3


# --- on a terminal ------------------------------------------------------------------------
def test_it_draws_a_live_tree(stack: Stack) -> None:
    with stack.sql() as conn:
        root = add_execution(conn, status="running")
        child = add_execution(conn, parent=root, status="running")
        with on_terminal([*COMMAND, "--root", str(root)], env_of(stack)) as terminal:
            wait_for(lambda: "live" in terminal.text, "the tree to show")
            spinners = set()

            def turns() -> bool:
                spinners.update(x.split("#")[0] for x in terminal.lines if f"#{child}" in x)
                return len(spinners) > 2

            wait_for(turns, "the spinner to turn")
            assert all(spinner.startswith("└── ") for spinner in spinners)
            assert terminal.cursor_is_hidden
            late = add_execution(conn, parent=child)
            wait_for(lambda: f"○ #{late} tests.run" in terminal.text, "the new one to show")
            wait_for(lambda: "2 s" in terminal.text, "the time to pass")
            for execution, status in ((late, "cancelled"), (child, "failed"), (root, "completed")):
                set_status(conn, execution, status)
            assert terminal.child.wait(timeout=20) == 0
            lines = wait_for(lambda: [x for x in terminal.lines if "#" in x], "the last frame")
        assert [line.split()[:-2] for line in lines[:2]] == [  # without how long
            ["✓", f"#{root}", "tests.run", "completed"],
            ["└──", "✗", f"#{child}", "tests.run", "failed"],
        ]
        assert lines[2].split() == ["└──", "⊘", f"#{late}", "tests.run", "cancelled"]
        assert "1 completed, 1 failed, 1 cancelled" in terminal.text
        assert not terminal.cursor_is_hidden


def test_it_begins_anew_when_a_part_of_the_tree_moves(stack: Stack) -> None:
    with stack.sql() as conn:
        root = add_execution(conn, status="running")
        child = add_execution(conn, parent=root)
        leaf = add_execution(conn, parent=child, status="completed")
        move = "UPDATE attune.execution SET parent = %s WHERE id = %s"
        with on_terminal([*COMMAND, "--root", str(root)], env_of(stack)) as terminal:
            wait_for(lambda: f"#{leaf} " in terminal.text, "the tree to show")
            conn.execute(move, [None, child])
            wait_for(lambda: f"#{leaf} " not in terminal.text, "what was below to go, too")
            conn.execute(move, [root, child])
            wait_for(lambda: f"#{leaf} " in terminal.text, "it to be back")
            conn.execute("DELETE FROM attune.execution WHERE id = %s", [root])
            assert terminal.child.wait(timeout=20) == 1


def test_it_is_restored_by_ctrl_c(stack: Stack) -> None:
    with (
        stack.sql() as conn,
        on_terminal([*COMMAND, str(add_execution(conn))], env_of(stack)) as terminal,
    ):
        wait_for(lambda: "live" in terminal.text, "the tree to show")
        terminal.type(b"\x03")
        assert terminal.child.wait(timeout=20) == 130
        wait_for(lambda: not terminal.cursor_is_hidden, "the cursor to be back")
        assert "Traceback" not in terminal.text


# --- what it survives ---------------------------------------------------------------------
def test_it_survives_that_everything_is_restarted(tmp_path: Path) -> None:
    """PostgreSQL, Redis, worker and web server, under a watch with the demo user's credentials."""
    data, log, port = tmp_path / "data", tmp_path / "log", free_port()
    env = up_env(data, ATTUNE_URL=f"http://127.0.0.1:{port}")
    quick = {"ATTUNE_RETRY_MILLISECONDS": "100"}
    with up(data, log, port, **quick) as first:
        with database(data) as conn:
            execution = add_execution(conn)
        watch = subprocess.Popen(
            [*COMMAND, str(execution)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watch.stdout is not None and watch.stderr is not None
        told = [watch.stdout.readline()]
        # Told to stop, it would ask for a few seconds before anybody comes back.
        for process in psutil.Process(first.pid).children(recursive=True):
            if "attune.asgi:application" in process.cmdline():
                process.kill()
    try:
        said = watch.stderr.readline()
        with up(data, log, port, **quick), database(data) as conn:
            set_status(conn, execution, "running")
            told.append(watch.stdout.readline())
            set_status(conn, execution, "completed")
            told += watch.stdout.readlines()
            assert watch.wait(timeout=20) == 0
    finally:
        watch.kill()
        watch.communicate()
    assert said.endswith("; trying again\n")
    steps = [line.rstrip().split("tests.run  ")[1].split(" after")[0] for line in told]
    assert steps == ["is requested", "requested -> running", "running -> completed"]


@contextmanager
def database(data: Path) -> Iterator[Connection]:
    url = LocalPaths(data).default_urls()["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn
