"""How much one user or address may have: streams, and wrong passwords, over all processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from attune.local.redis import EmbeddedRedis
from tests.servers import Process, Stack, StartStack, add_user, running_stack, wait_for
from tests.sse_client import READ_SECONDS

LIMITS = {
    "ATTUNE_STREAMS_PER_USER": "4",
    "ATTUNE_STREAM_LEASE_SECONDS": "1",
    "ATTUNE_LOGIN_FAILURES": "5",
    "ATTUNE_LOGIN_FAILURES_PER_ADDRESS": "15",
}


# A stack, its second web process, and where the streams of that one are.
Two = tuple[Stack, Process, str]


class Clients:
    """Streams that are kept open."""

    def __init__(self, stack: Stack, kept: ExitStack) -> None:
        self._stack = stack
        self._kept = kept

    def ask(self, url: str, token: str) -> httpx.Response:
        """Ask for a stream and, where there is one, keep it."""
        stream = httpx.stream(
            "GET", url, headers={"Authorization": f"Bearer {token}"}, timeout=READ_SECONDS
        )
        answer = stream.__enter__()
        self._kept.push(stream)
        return answer

    def statuses(self, urls: list[str], token: str) -> list[int]:
        """Ask for all of them at once."""
        with ThreadPoolExecutor(len(urls)) as threads:
            return sorted(answer.status_code for answer in threads.map(self._ask(token), urls))

    def _ask(self, token: str) -> Any:
        return lambda url: self.ask(url, token)


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own, to be taken away."""
    server = EmbeddedRedis(tmp_path / "redis")
    server.start()
    monkeypatch.setenv("REDIS_URL", server.url)
    yield server
    server.close()


@pytest.fixture
def two(database: str, redis: EmbeddedRedis, tmp_path: Path) -> Iterator[Two]:
    """A stack with two web processes: the stack, the other process, and where its streams are."""
    with running_stack(database, tmp_path) as stack:
        stack.processes.pop("web").stop()
        other = stack.start_web(**LIMITS)
        stack.wait_ready()
        url = stack.stream_url
        stack.processes["other"] = stack.processes.pop("web")
        stack.start_web(server="uvicorn", **LIMITS)
        stack.wait_ready()
        yield stack, other, url


def test_it_holds_the_limit_of_a_user_over_all_processes(two: Two) -> None:
    stack, process, other = two
    token = stack.token()
    add_user(stack.database_url, "bob")
    with ExitStack() as kept:
        clients = Clients(stack, kept)
        assert clients.statuses([stack.stream_url, other] * 6, token) == [200] * 4 + [429] * 8
        refused = clients.ask(other, token)
        refused.read()
        assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
        assert int(refused.headers["Retry-After"]) > 0
        assert clients.ask(other, stack.token("bob")).status_code == 200
    with ExitStack() as kept:
        clients = Clients(stack, kept)
        wait_for(lambda: clients.ask(other, token).status_code == 200, "slots to come back")

        # What a crashed process held comes back by itself.
        add_user(stack.database_url, "carol")
        carol = stack.token("carol")
        assert clients.statuses([other] * 4, carol) == [200] * 4
        assert clients.ask(stack.stream_url, carol).status_code == 429
        process.kill()
        del stack.processes["other"]
        wait_for(lambda: clients.ask(stack.stream_url, carol).status_code == 200, "the lease's end")


def test_it_goes_by_each_process_without_redis(two: Two, redis: EmbeddedRedis) -> None:
    stack, _, other = two
    token = stack.token()
    with ExitStack() as kept:
        clients = Clients(stack, kept)
        assert clients.statuses([other] * 3 + [stack.stream_url], token) == [200] * 4
        redis.stop()
        assert clients.statuses([other] * 3, token) == [200, 429, 429]
        assert clients.statuses([stack.stream_url] * 5, token) == [200] * 3 + [429] * 2
        redis.start()
        add_user(stack.database_url, "carol")
        carol = stack.token("carol")
        # Once both have taken their lease again, it is one limit for both again.
        log = stack.processes["web"]  # of both
        wait_for(lambda: log.output.count("action=slots state=back") == 2, "the leases")
        assert clients.statuses([stack.stream_url, other] * 3, carol) == [200] * 4 + [429] * 2


def test_it_holds_the_limit_of_an_address(start_stack: StartStack) -> None:
    own_stack = start_stack(ATTUNE_STREAMS_PER_ADDRESS="3", ATTUNE_TRUST_PROXY="true")
    add_user(own_stack.database_url, "bob")
    tokens = [own_stack.token(), own_stack.token("bob")]

    def ask(number: int, forwarded: str) -> int:
        headers = {"Authorization": f"Bearer {tokens[number % 2]}", "X-Forwarded-For": forwarded}
        stream = httpx.stream("GET", own_stack.stream_url, headers=headers, timeout=READ_SECONDS)
        answer = stream.__enter__()
        kept.push(stream)
        return answer.status_code

    with ExitStack() as kept:
        same = [f"10.0.0.{number}, 2001:db8:1:2::{number}" for number in range(5)]
        assert [ask(n, address) for n, address in enumerate(same)] == [200] * 3 + [429] * 2
        assert ask(0, "2001:db8:1:2::1, 2001:db8:1:3::1") == 200
        assert ask(0, "no address") == 200


def sign_in(url: str, username: str, password: str) -> httpx.Response:
    body = {"username": username, "password": password}
    url = url.replace("executions/stream", "auth/token")
    return httpx.post(url, json=body, timeout=READ_SECONDS)


def test_it_slows_down_who_guesses_passwords(two: Two, redis: EmbeddedRedis) -> None:
    stack, _, other = two
    urls = [stack.stream_url, other]
    for name in ("bob", "carol", "dave"):
        add_user(stack.database_url, name, is_staff=True)
    with ThreadPoolExecutor(8) as threads:
        wrong = [threads.submit(sign_in, urls[n % 2], "bob", f"guess{n}") for n in range(12)]
        statuses = sorted(answer.result().status_code for answer in wrong)
    assert statuses == [401] * 5 + [429] * 7
    refused = sign_in(other, "bob", "secret")
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    # Others from this address still get in, and a right password forgives the wrong ones.
    for _ in range(2):
        assert [sign_in(other, "carol", "guess").status_code for _ in range(4)] == [401] * 4
        assert sign_in(stack.stream_url, "carol", "secret").status_code == 200
    # The admin's form asks the same backend.
    with httpx.Client() as client:
        page = client.get(f"{stack.url}/admin/login/")
        form = {"username": "bob", "password": "secret"}
        form["csrfmiddlewaretoken"] = page.text.partition('csrfmiddlewaretoken" value="')[2][:64]
        answer = client.post(f"{stack.url}/admin/login/", data=form)
    assert (answer.status_code, answer.headers["Retry-After"] > "0") == (429, True)
    # Of 15 from one address, 13 are used up.
    statuses = [sign_in(other, f"nobody{n}", "guess").status_code for n in range(3)]
    assert statuses == [401, 401, 429]
    redis.stop()
    assert [sign_in(other, "dave", "guess").status_code for _ in range(6)] == [401] * 5 + [429]
    assert sign_in(other, "bob", "secret").status_code == 200  # counted by Redis only
    redis.start()
