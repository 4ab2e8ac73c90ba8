"""`manage.py up`, which is what `make run` runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from attune.local.processes import spawn, stop
from attune.local.redis import EmbeddedRedis
from tests.rows import one
from tests.servers import PROJECT, Process, free_port, wait_for


def up_env(data: Path, **more: str) -> dict[str, str]:
    """Return the environment of a fresh machine: nothing set but the data folder."""
    own = ("ATTUNE_", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    env = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**env, "ATTUNE_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def up(data: Path, log: Path, port: int, **env: str) -> Iterator[Process]:
    command = [sys.executable, str(PROJECT / "manage.py"), "up", "--port", str(port)]
    with log.open("wb") as output:
        child = spawn(command, env=up_env(data, **env), output=output)
    process = Process("up", child, log)
    try:
        wait_for(
            lambda: "Ctrl-C stops everything" in process.output or child.poll() is not None,
            "the banner",
            seconds=60,
        )
        assert child.poll() is None, process.output
        yield process
    finally:
        stop(child, seconds=20)


def refused(data: Path, *arguments: str) -> str:
    """Run `up` where it has to fail, and return what it says."""
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "up", *arguments],
        env=up_env(data),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_it_runs_everything_and_keeps_its_data(tmp_path: Path) -> None:
    data, log, port = tmp_path / "data", tmp_path / "log", free_port()
    with up(data, log, port) as first:
        children = psutil.Process(first.pid).children(recursive=True)
        assert len(children) >= 3  # worker, web server, redis
        shown = first.output
        assert f"http://127.0.0.1:{port}/admin/" in shown and "demo / demo" in shown
        # The lines to paste, pasted.
        token = next(line.strip() for line in shown.splitlines() if "TOKEN=$(" in line)
        watch = next(line.strip() for line in shown.splitlines() if "curl -N" in line)
        change = re.search(r"^  (\S+psql '.*?) \\\n\s+(.*)$", shown, re.MULTILINE)
        assert change is not None
        reader = subprocess.Popen(
            ["bash", "-c", f"{token}; exec {watch} -s"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert reader.stdout is not None
            lines = iter(reader.stdout)
            assert any("event: connected" in line for line in lines)
            subprocess.run(["bash", "-c", " ".join(change.groups())], check=True)
            assert any('"action_ref":"demo.hello"' in line for line in lines)
        finally:
            reader.kill()
            reader.communicate()
        assert "already runs" in refused(data, "--port", str(free_port()))
        first.child.send_signal(signal.SIGINT)
        assert first.child.wait(timeout=20) == 0
    assert not any(child.is_running() for child in children)

    with up(data, log, port) as second:
        answer = httpx.post(
            f"http://127.0.0.1:{port}/api/v1/auth/token",
            data={"username": "demo", "password": "demo"},
        )
        listed = httpx.get(
            f"http://127.0.0.1:{port}/api/v1/executions",
            headers={"Authorization": f"Bearer {answer.json()['access']}"},
        )
        assert [e["action_ref"] for e in listed.json()["results"]] == ["demo.hello"]
        assert "Traceback" not in second.output


def test_it_starts_again_after_an_unclean_stop(tmp_path: Path) -> None:
    data, log, port = tmp_path / "data", tmp_path / "log", free_port()
    with up(data, log, port) as first:
        children = psutil.Process(first.pid).children(recursive=True)
        first.kill()
        wait_for(lambda: not any(c.is_running() for c in children), "its children to follow")
    with up(data, log, port) as second:
        assert second.child.poll() is None
    assert not (data / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize(
    ("step", "made"), [("initdb", "*/PG_VERSION"), ("pg_ctl", "postgres/postmaster.pid")]
)
def test_an_interrupted_start_leaves_nobody_behind_and_can_be_repeated(
    tmp_path: Path, step: str, made: str
) -> None:
    data, log, port = tmp_path / "data", tmp_path / "log", free_port()
    with log.open("wb") as output:
        command = [sys.executable, str(PROJECT / "manage.py"), "up", "--port", str(port)]
        child = spawn(command, env=up_env(data), output=output)

    def is_at_it() -> bool:
        for process in psutil.Process(child.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == step and any(data.glob(made)):
                    process.suspend()  # so that it is not through before it is interrupted
                    return True
        return False

    def left() -> list[psutil.Process]:
        running = psutil.process_iter(["cmdline"])
        return [p for p in running if str(data / "postgres") in " ".join(p.info["cmdline"] or [])]

    try:
        wait_for(is_at_it, f"{step} to be on its way", seconds=60)
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) == 0, log.read_text()
    finally:
        stop(child, seconds=20)
    wait_for(lambda: not left(), "PostgreSQL to be gone")
    with up(data, log, port):
        assert left()


def test_it_uses_the_servers_it_is_given(
    database: str, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    given = {"DATABASE_URL": database, "REDIS_URL": redis_server.url}
    with up(tmp_path / "data", tmp_path / "log", free_port(), **given) as running:
        assert "demo / demo" not in running.output
    assert not (tmp_path / "data" / "postgres").exists()
    assert not (tmp_path / "data" / "redis").exists()
    with psycopg.connect(database) as conn:
        assert one(conn, "SELECT count(*) FROM attune.auth_user") == 0


def test_it_says_that_the_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(tmp_path / "data", "--port", str(port))
    assert f"127.0.0.1:{port}" in said and "make run PORT=" in said


def test_it_says_that_the_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(tmp_path / "file" / "data")
    assert "cannot write" in said and "ATTUNE_DATA_DIR" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "foo"),
        ("DATABASE_URL", "postgresql://user:hunter2@host:port/name"),
        ("REDIS_URL", "http://localhost"),
        ("DATABASE_URL", "postgresql://user:hunter2@host:5432"),
        ("ATTUNE_SECRET_KEY", "short"),
        ("ATTUNE_HEARTBEAT_SECONDS", "soon"),
        ("ATTUNE_DEBUG", "perhaps"),
    ],
)
def test_it_refuses_a_bad_setting_by_name(tmp_path: Path, name: str, value: str) -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "up"],
        env={**up_env(tmp_path), name: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"attune: {name}: ")
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr
