"""`/healthz` and `/readyz`: what they say, and to whom."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import psutil
import pytest

from attune.local.redis import EmbeddedRedis
from tests.observability.measured import Measured
from tests.servers import SERVERS, Stack, add_user, product_env, wait_for

PROBES = ("/healthz", "/readyz", "/metrics")
FOREIGN = {"Host": "192.0.2.7:8000"}


def test_it_says_the_state_and_age_of_everything(measured: Measured) -> None:
    answer = httpx.get(f"{measured.stack.url}/readyz").json()
    assert answer["status"] == "ok"
    assert set(answer["checks"]) == {"database", "layer", "hub", "worker"}
    for check in answer["checks"].values():
        assert check["state"] == "ok"
        assert 0 <= check["age_seconds"] < 3.5


@pytest.mark.parametrize("server", sorted(SERVERS))
def test_it_answers_probes_by_whatever_name_and_nothing_else(
    database: str, redis_server: EmbeddedRedis, tmp_path: Path, server: str
) -> None:
    add_user(database, "alice")
    stack = Stack(database, tmp_path, product_env(database) | {"ATTUNE_HTTPS": "true"})
    try:
        stack.start_worker()
        stack.start_web(server=server)
        stack.wait_ready()
        for path in PROBES:
            asked = f"{stack.url}{path}"
            assert httpx.get(asked, headers=FOREIGN).status_code == 200, path
            head = httpx.head(asked, headers=FOREIGN)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["X-Content-Type-Options"] == "nosniff"
            refused = httpx.post(asked, headers=FOREIGN)
            assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")
            for other in (f"{path}/", f"{path}/x", f"/x{path}"):
                assert httpx.get(f"{stack.url}{other}", headers=FOREIGN).status_code == 400, other
        for path in ("/", "/sign-in/", "/api/v1/executions", "/api/v1/executions/stream"):
            assert httpx.get(f"{stack.url}{path}", headers=FOREIGN).status_code == 400, path
    finally:
        stack.stop()


def test_it_is_ready_with_a_worker_that_never_looks_by_itself(
    database: str, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    stack = Stack(database, tmp_path, product_env(database))
    try:
        worker = stack.start_worker(ATTUNE_WORKER_TICK_SECONDS="0")
        wait_for(lambda: "action=listen" in worker.output, "the worker to listen")
        stack.start_web(server="uvicorn")
        stack.wait_ready()
    finally:
        stack.stop()


def test_it_stays_ready_with_a_worker_that_rarely_looks(
    database: str, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    """By its announcements, which come every second however long its tick is."""
    stack = Stack(database, tmp_path, product_env(database))
    try:
        stack.start_worker(ATTUNE_WORKER_TICK_SECONDS="60")
        stack.start_web(server="uvicorn")
        stack.wait_ready()
        name = "attune_worker_silence_seconds"
        seen = [stack.metric(name)]

        def was_heard() -> bool:
            """Silence only grows, until the worker is heard."""
            seen.append(stack.metric(name))
            return seen[-1] < seen[-2]

        for _ in range(3):
            wait_for(was_heard, "an announcement")
        assert max(seen) < 3.5
    finally:
        stack.stop()


def test_it_says_which_redis_is_away_and_since_when(
    database: str, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    redis = EmbeddedRedis(tmp_path / "second")
    redis.start()
    stack = Stack(database, tmp_path, product_env(database))
    env = {"REDIS_URL": f"{redis_server.url},{redis.url}"}
    try:
        stack.start_worker(**env)
        stack.start_web(server="uvicorn", **env)
        stack.wait_ready()
        os.kill(redis.pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(redis.pid)], timeout=10)

        def layer() -> tuple[int, dict[str, object]]:
            answer = httpx.get(f"{stack.url}/readyz", timeout=10)
            return answer.status_code, answer.json()["checks"]["layer"]

        wait_for(lambda: layer()[0] == 503, "the layer to be missed")
        check = layer()[1]
        assert str(check["state"]).startswith("Redis 2: ")
        assert float(str(check["age_seconds"])) > 0
    finally:
        stack.stop()
        redis.close()
