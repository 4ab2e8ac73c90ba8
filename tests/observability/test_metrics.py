"""What `/metrics` of web and worker say, and who may read it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from attune import exposition
from tests.observability.measured import Measured, sample
from tests.rows import add_execution, one, set_status
from tests.servers import wait_for
from tests.sse_client import open_stream

TOKEN = "a token for the metrics"
LOOPBACK = "127.0.0.1"


def test_it_measures_an_event_on_its_way(measured: Measured) -> None:
    stack, token = measured.stack, measured.stack.token()

    def counts() -> dict[str, float]:
        web, worker = measured.read("web").text, measured.read("worker").text
        names = ("attune_worker_events_total", "attune_worker_published_bytes_total")
        names += ("attune_commit_to_publish_seconds_count", "attune_worker_batch_events_sum")
        names += ("attune_worker_batch_seconds_count",)
        streams = ("attune_hub_events_total", "attune_stream_events_total")
        streams += ("attune_stream_bytes_total", "attune_commit_to_socket_seconds_count")
        streams += ("attune_replay_events_count", "attune_replay_events_sum", "attune_streams")
        return {name: sample(worker, name) for name in names} | {
            name: sample(web, name) for name in streams
        }

    before = counts()
    with stack.sql() as conn, open_stream(stack.stream_url, token) as stream:
        executions = [add_execution(conn) for _ in range(3)]
        for execution in executions:
            assert stream.next()["entity_id"] == execution
        begin = stream.connected.id
        size = one(conn, "SELECT sum(bytes) FROM (SELECT bytes FROM attune.execution_event"
                         " ORDER BY seq DESC LIMIT 3) AS last")  # fmt: skip
        with open_stream(stack.stream_url, token, resume=begin) as again:
            assert [again.next()["entity_id"] for _ in executions] == executions
        grown = wait_for(
            lambda: (
                (now := counts())["attune_stream_bytes_total"]
                >= before["attune_stream_bytes_total"] + 2 * size
                and {name: value - before[name] for name, value in now.items()}
            ),
            "the bytes to be handed over",
        )
    assert grown["attune_worker_events_total"] == grown["attune_hub_events_total"] == 3
    assert grown["attune_worker_batch_events_sum"] == 3
    assert grown["attune_worker_published_bytes_total"] == size
    assert grown["attune_stream_events_total"] == 6
    assert 1 <= grown["attune_commit_to_publish_seconds_count"] <= 3
    assert 1 <= grown["attune_worker_batch_seconds_count"] <= 3
    assert 1 <= grown["attune_commit_to_socket_seconds_count"] <= 3
    assert (grown["attune_replay_events_count"], grown["attune_replay_events_sum"]) == (1, 3)
    assert grown["attune_streams"] == 1


def test_it_measures_from_the_change_on(measured: Measured) -> None:
    """A change that waits for its commit is as old as the wait when it comes out."""
    stack, name = measured.stack, "attune_commit_to_{}_seconds_sum"
    before = [measured.value(*at) for at in _sums(name)]
    with stack.sql() as conn, open_stream(stack.stream_url, stack.token()) as stream:
        with conn.transaction():
            execution = add_execution(conn)
            conn.execute("SELECT pg_sleep(1)")
        assert stream.next()["entity_id"] == execution
        for at, was in zip(_sums(name), before, strict=True):
            # Nearly: what the two clocks differ by is known to half of a round trip.
            wait_for(lambda at=at, was=was: measured.value(*at) > was + 0.8, "the second to count")


def _sums(name: str) -> list[tuple[str, str]]:
    return [("web", name.format("socket")), ("worker", name.format("publish"))]


@pytest.mark.parametrize("process", ["web", "worker"])
def test_it_shows_how_the_database_stands(measured: Measured, process: str) -> None:
    with measured.stack.sql() as conn:
        add_execution(conn)
        wait_for(lambda: one(conn, "SELECT count(*) FROM attune.execution_inbox") == 0, "the log")
        last = one(conn, "SELECT last_seq FROM attune.stream_state")
        wait_for(lambda: measured.value(process, "attune_log_position") == last, "the figures anew")
        text = measured.read(process).text
        limit = one(conn, "SHOW max_connections")
    assert sample(text, "attune_database_up") == sample(text, "attune_workers") == 1
    assert sample(text, "attune_log_events") == last
    assert sample(text, "attune_log_bytes") >= 8192
    assert sample(text, "attune_inbox_events") == sample(text, "attune_inbox_age_seconds") == 0
    assert sample(text, "attune_notify_queue_ratio") < 0.5
    assert 2 <= sample(text, "attune_database_connections") < int(limit)
    assert sample(text, "attune_database_connection_limit") == int(limit)
    assert abs(sample(text, "attune_clock_skew_seconds")) < 1  # one machine


def test_it_shows_what_waits_while_no_worker_works(shared: Measured) -> None:
    shared.stack.processes.pop("worker").kill()
    with shared.stack.sql() as conn:
        execution = add_execution(conn)
        set_status(conn, execution, "running")
        wait_for(lambda: shared.value("web", "attune_inbox_events") == 2, "the inbox to be seen")
        wait_for(lambda: shared.value("web", "attune_inbox_age_seconds") > 1, "it to grow old")
        assert shared.value("web", "attune_workers") == 0
        wait_for(lambda: shared.value("web", "attune_worker_silence_seconds") > 1, "the silence")
        conn.execute("ALTER TABLE attune.stream_state RENAME TO away")
        wait_for(lambda: shared.value("web", "attune_database_up") == 0, "the log to be missed")
    # What had been counted by the one that was killed is still there.
    assert shared.value("web", "attune_worker_connects_total") == 1


def test_it_answers_for_all_that_share_a_folder(shared: Measured) -> None:
    stack = shared.stack
    with stack.sql() as conn, open_stream(stack.stream_url, stack.token()) as stream:
        execution = add_execution(conn)
        assert stream.next()["entity_id"] == execution
        for process in ("web", "worker"):
            assert shared.value(process, "attune_streams") == 1
            assert shared.value(process, "attune_worker_events_total") == 1
            assert shared.value(process, "attune_stream_events_total") == 1
            assert shared.value(process, "attune_workers") == 1
            assert shared.value(process, "attune_stream_closes_total", reason="cut") == 0
        stack.processes.pop("web").kill()
    # The stream of a process that was killed is no stream; what it counted stays.
    assert shared.value("worker", "attune_streams") == 0
    assert shared.value("worker", "attune_file_limit") == 0
    assert shared.value("worker", "attune_stream_events_total") == 1
    stack.start_web(server="uvicorn")
    stack.wait_ready()
    with open_stream(stack.stream_url, stack.token()):
        assert shared.value("worker", "attune_streams") == 1


def test_it_forgets_whoever_had_the_process_id_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    mine, before = tmp_path / f"gauge_livesum_{os.getpid()}.db", tmp_path / "gauge_livemax_1.db"
    counted = tmp_path / "counter_1.db"
    for file in (mine, before, counted):
        file.write_bytes(b"")
    os.utime(before, (1, 1))  # long before the process 1 of today began
    exposition.forget_the_dead()
    assert sorted(tmp_path.iterdir()) == [counted, mine]


def test_it_leaves_no_files_of_commands_that_come_and_go(shared: Measured) -> None:
    folder = Path(shared.stack.env["PROMETHEUS_MULTIPROC_DIR"])
    before = {file.name for file in folder.iterdir()}
    assert before
    command = [sys.executable, "manage.py", "check"]
    subprocess.run(command, env=shared.stack.env, check=True, capture_output=True)
    assert {file.name for file in folder.iterdir()} == before


def test_it_counts_who_is_refused(measured: Measured) -> None:
    url = measured.stack.url

    def refused() -> list[float]:
        text = measured.read("web").text
        kinds = [
            sample(text, "attune_auth_failures_total", kind=kind)
            for kind in ("credential", "password")
        ]
        return [
            *kinds,
            sample(text, "attune_stream_refusals_total", status="401"),
            sample(text, "attune_stream_refusals_total", status="400"),
            sample(text, "attune_stream_resets_total", reason="unknown_cursor"),
        ]

    before = refused()
    bad = {"Authorization": "Bearer attune_" + "0" * 64}
    assert httpx.get(f"{url}/api/v1/executions/stream", headers=bad).status_code == 401
    assert httpx.get(f"{url}/api/v1/executions", headers=bad).status_code == 401
    assert httpx.get(f"{url}/api/v1/executions/stream").status_code == 401  # shows none
    wrong = {"username": "alice", "password": "no"}
    assert httpx.post(f"{url}/api/v1/auth/token", json=wrong).status_code == 401
    good = {"Authorization": f"Bearer {measured.stack.token()}"}
    asked = httpx.get(f"{url}/api/v1/executions/stream?x=1", headers=good)
    assert asked.status_code == 400
    with open_stream(measured.stack.stream_url, measured.stack.token(), resume="nonsense"):
        grown = [now - was for now, was in zip(refused(), before, strict=True)]
    assert grown == [2, 1, 2, 1, 1]


@pytest.mark.parametrize(
    ("token", "headers", "address", "status"),
    [
        ("", {}, LOOPBACK, None),
        ("", {}, "::1", None),
        ("", {}, "::ffff:127.0.0.1", None),
        ("", {}, "", None),
        ("", {}, "192.0.2.1", 403),
        ("", {}, "nonsense", 403),
        ("", {"authorization": "Bearer "}, "192.0.2.1", 403),
        ("", {"x-forwarded-for": LOOPBACK}, LOOPBACK, 403),
        ("", {"forwarded": "for=127.0.0.1"}, "", 403),
        (TOKEN, {}, LOOPBACK, 401),
        (TOKEN, {"authorization": f"Bearer {TOKEN}x"}, LOOPBACK, 401),
        (TOKEN, {"authorization": TOKEN}, LOOPBACK, 401),
        (TOKEN, {"authorization": f"Bearer {TOKEN}"}, "192.0.2.1", None),
        (TOKEN, {"authorization": f"Bearer {TOKEN}", "x-forwarded-for": "x"}, LOOPBACK, None),
    ],
)
def test_it_says_who_may_read_them(
    settings: Any, token: str, headers: dict[str, str], address: str, status: int | None
) -> None:
    settings.METRICS_TOKEN = token
    refusal = exposition.refusal(headers, address)
    assert (refusal and refusal[0]) == status


def test_it_asks_for_the_token(shared: Measured) -> None:
    for name in ("web", "worker"):
        shared.stack.processes.pop(name).stop()
    address = shared.worker_url.removeprefix("http://")
    env = {"ATTUNE_METRICS_TOKEN": TOKEN, "ATTUNE_WORKER_METRICS": address}
    shared.stack.start_worker(**env)
    shared.stack.start_web(server="daphne", **env)
    shared.stack.wait_ready()
    wait_for(lambda: shared.read("worker", "/readyz").is_success, "the worker to be ready")
    for process in ("web", "worker"):
        refused = shared.read(process)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="metrics"'
        assert "ATTUNE_METRICS_TOKEN" in refused.json()["detail"]
        assert "attune_streams" not in refused.text
        answer = shared.read(process, Authorization=f"Bearer {TOKEN}")
        assert sample(answer.text, "attune_database_up") == 1
        assert shared.read(process, "/healthz").json() == {"status": "ok"}


def test_it_is_for_this_machine_only_without_one(measured: Measured) -> None:
    forwarded = {"X-Forwarded-For": LOOPBACK}
    for process in ("web", "worker"):
        answer = measured.read(process, **forwarded)
        assert answer.status_code == 403
        assert "ATTUNE_METRICS_TOKEN" in answer.json()["detail"]


def test_the_worker_answers_probes_and_nothing_else(measured: Measured) -> None:
    ready = measured.read("worker", "/readyz").json()
    assert ready["status"] == "ok"
    assert {name: check["state"] for name, check in ready["checks"].items()} == {
        "database": "ok",
        "layer": "ok",
    }
    assert all(0 <= check["age_seconds"] < 3.5 for check in ready["checks"].values())
    assert measured.read("worker", "/").status_code == 404
    assert httpx.post(f"{measured.worker_url}/metrics").status_code == 405
    head = httpx.head(f"{measured.worker_url}/metrics")
    assert head.status_code == 200 and int(head.headers["Content-Length"]) > 1000
    host, port = measured.worker_url.removeprefix("http://").split(":")
    for nonsense, status in ((b"\r\n\r\n", b" 400 "), (b"GET /\r\n\r\n", b" 400 ")):
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(nonsense)
            assert status in client.recv(100)
    with socket.create_connection((host, int(port)), timeout=10) as client:
        try:
            client.sendall(b"x" * 100_000)
            told = client.recv(100)
        except ConnectionError:  # what it had not read yet makes its end a reset
            told = b""
        assert told == b""


def test_the_worker_stops_while_somebody_asks(shared: Measured) -> None:
    host, port = shared.worker_url.removeprefix("http://").split(":")
    worker = shared.stack.processes.pop("worker")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")  # and no more
        assert worker.stop() == 0
    assert "Traceback" not in worker.output
    with pytest.raises(httpx.ConnectError):
        shared.read("worker", "/healthz")
