"""Streams through nginx, HAProxy and Caddy with the files of `deploy/`, over TLS."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import Any

import httpx
import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived

from tests.deployment.deployed import (
    BODY_BYTES,
    HEARTBEAT_SECONDS,
    STREAMS_PER_ADDRESS,
    WEBS,
    Deployed,
    exec_form,
    instructions,
    program_of,
)
from tests.deployment.proxies import NAMES, TIMEOUT_SECONDS, Proxy, proxy_before
from tests.rows import add_execution, set_status
from tests.servers import wait_for
from tests.sse_client import connected_stream


@pytest.fixture(params=NAMES)
def proxy(request: pytest.FixtureRequest, deployed: Deployed) -> Iterator[Proxy]:
    with _before(request.param, deployed) as proxy:
        yield proxy


def _before(
    name: str, deployed: Deployed, *, impatient: bool = False
) -> AbstractContextManager[Proxy]:
    first, second = (deployed.ports[web] for web in WEBS)
    return proxy_before(name, first, second, impatient=impatient)


def headers(deployed: Deployed, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {deployed.token}", "Accept-Encoding": "gzip"} | more


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_it_passes_events_on_at_once(deployed: Deployed, proxy: Proxy, http2: bool) -> None:
    with deployed.stack.sql() as conn, proxy.client(http2=http2) as client:
        execution = add_execution(conn)
        ask: dict[str, Any] = {"url": proxy.stream_url, "params": {"execution_id": execution}}
        with connected_stream(client, **ask, headers=headers(deployed)) as stream:
            assert stream.response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            assert stream.response.headers.get("Content-Encoding", "identity") == "identity"
            for status in ("scheduled", "running"):
                set_status(conn, execution, status)
                frame = next(f for f in stream.frames if f'"status":"{status}"' in f.data)
            set_status(conn, execution, "completed")
            assert stream.until(execution, "completed")
        again = headers(deployed, **{"Last-Event-ID": frame.id})
        with connected_stream(client, **ask, headers=again) as stream:
            assert json.loads(stream.connected.data)["resumed"] is True
            assert [e["version"] for e in stream.until(execution, "completed")] == [4]
    wait_for(lambda: deployed.streams(*WEBS) == 0, "the client's going to be noticed")


def test_it_keeps_a_quiet_stream_for_longer_than_its_time_out(deployed: Deployed) -> None:
    with ExitStack() as held:
        quiet = held.enter_context
        proxies = [quiet(_before(name, deployed, impatient=True)) for name in NAMES]
        clients = [quiet(proxy.client(http2=True)) for proxy in proxies]
        streams = [
            quiet(connected_stream(client, proxy.stream_url, headers=headers(deployed)))
            for client, proxy in zip(clients, proxies, strict=True)
        ]
        for stream in streams:  # what the others get meanwhile waits for us
            for _ in range(int(TIMEOUT_SECONDS / HEARTBEAT_SECONDS) + 2):
                assert next(stream.frames).data == ""


def test_it_ends_one_stream_of_a_connection(deployed: Deployed, proxy: Proxy) -> None:
    """As a browser does, all of whose tabs share a connection."""
    with h2_connection(proxy) as (tls, http), deployed.stack.sql() as conn:
        for number in (1, 3):
            http.send_headers(number, h2_head(proxy, deployed.token), end_stream=True)
        tls.sendall(http.data_to_send())
        wait_for(lambda: deployed.streams(*WEBS) == 2, "two streams")
        http.reset_stream(3, ErrorCodes.CANCEL)
        tls.sendall(http.data_to_send())
        wait_for(lambda: deployed.streams(*WEBS) == 1, "one to be freed")
        execution, read = add_execution(conn), b""
        while f'"entity_id":{execution},'.encode() not in read:
            for event in http.receive_data(tls.recv(65_536)):
                if isinstance(event, DataReceived) and event.stream_id == 1:
                    read += event.data


@contextmanager
def h2_connection(proxy: Proxy) -> Iterator[tuple[ssl.SSLSocket, H2Connection]]:
    """Open a connection of HTTP/2 by hand: httpx does not cancel what it no longer reads."""
    host, port = proxy.authority.split(":")
    proxy.tls.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=15) as plain,
        proxy.tls.wrap_socket(plain, server_hostname=host) as tls,
    ):
        http = H2Connection()
        http.initiate_connection()
        yield tls, http


def h2_head(proxy: Proxy, token: str) -> list[tuple[str, str]]:
    path = proxy.stream_url.removeprefix(proxy.url)
    pseudo = {":scheme": "https", ":authority": proxy.authority, ":path": path}
    return [(":method", "GET"), *pseudo.items(), ("authorization", f"Bearer {token}")]


def test_it_serves_all_else_too(deployed: Deployed, proxy: Proxy) -> None:
    with proxy.client(http2=True) as client:
        page = client.get("/sign-in/")
        assert "max-age" in page.headers["Strict-Transport-Security"]
        form = {
            "username": "alice",
            "password": "secret",
            "csrfmiddlewaretoken": client.cookies["csrftoken"],
        }
        # What a browser adds, and we hold against the name that the proxy was asked by.
        origin = {"Origin": proxy.url, "Referer": str(page.url), "Sec-Fetch-Site": "same-origin"}
        assert client.post("/sign-in/", data=form, headers=origin).status_code == 302
        with connected_stream(client, proxy.stream_url, headers=origin):
            pass
        script = client.get("/static/streaming/attune.js", headers={"Accept-Encoding": "gzip"})
        assert script.headers.get("Content-Encoding") == proxy.compresses
        assert client.get("/metrics").status_code == 404
        assert client.get("/readyz").status_code == 200
    moved = httpx.get(f"{proxy.plain_url}/sign-in/?next=/")
    assert moved.is_redirect and moved.headers["Location"].startswith("https://")
    assert moved.headers["Location"].endswith("/sign-in/?next=/")


def test_it_refuses_what_is_too_large(deployed: Deployed, proxy: Proxy) -> None:
    url, ours = "/api/v1/executions", headers(deployed)
    many = {f"X-{number}": "x" * 8_000 for number in range(5)}
    largest = "x" * (BODY_BYTES - len('{"action_ref":""}'))
    with proxy.client() as client:
        fits = client.post(url, headers=ours, json={"action_ref": largest})
        assert (fits.status_code, fits.json()["code"]) == (400, "invalid")
        answers = {
            413: client.post(url, headers=ours, json={"action_ref": largest + "x"}),
            414: client.get(f"{url}?status={'x' * 17_000}", headers=ours),
            431: client.get(url, headers=ours | many),
        }
    for status, answer in answers.items():
        assert (answer.status_code, answer.json()["code"]) == (status, "too_large")


def test_it_tells_clients_apart_by_their_own_address(deployed: Deployed, proxy: Proxy) -> None:
    forged = headers(deployed, **{"X-Forwarded-For": "192.0.2.1"})
    with ExitStack() as held:
        first, second = (
            held.enter_context(proxy.client(address=f"127.0.0.{number}")) for number in (8, 9)
        )

        def status(client: httpx.Client) -> int:
            stream = client.stream("GET", proxy.stream_url, headers=forged)
            return held.enter_context(stream).status_code

        assert [status(first) for _ in range(STREAMS_PER_ADDRESS)] == [200] * STREAMS_PER_ADDRESS
        assert (status(first), status(second)) == (429, 200)


def test_it_loses_nothing_while_one_web_process_after_the_other_is_restarted(
    deployed: Deployed,
) -> None:
    with ExitStack() as held, deployed.stack.sql() as conn, ThreadPoolExecutor() as pool:
        proxies = [held.enter_context(_before(name, deployed)) for name in NAMES]
        execution = add_execution(conn)
        reading = [pool.submit(_read_on, proxy, headers(deployed), execution) for proxy in proxies]
        wait_for(lambda: deployed.streams(*WEBS) == len(proxies), "all to be connected")
        versions = count(2)

        def write() -> None:
            query = "UPDATE attune.execution SET enforcement = %s WHERE id = %s"
            conn.execute(query, [next(versions), execution])

        def is_back(name: str) -> bool:
            write()
            return deployed.is_ready(name) and all(proxy.knows_all for proxy in proxies)

        try:
            for name in WEBS:
                write()
                deployed.stack.processes[name].stop()
                write()
                deployed.start_web(name)
                wait_for(partial(is_back, name), "it to be back")
        finally:
            set_status(conn, execution, "completed")
        expected = list(range(1, next(versions) + 1))
        assert [future.result() for future in reading] == [expected] * len(proxies)


def _read_on(proxy: Proxy, ours: dict[str, str], execution: int) -> list[int]:
    """Return the versions that a client gets which comes back, at once, from where it was.

    Each connection has to be let in: where one is refused, an EventSource gives up.
    """
    versions = []
    query = {"execution_id": execution, "last_event_id": "earliest"}  # the header wins
    for _ in range(10):
        with (
            proxy.client() as client,
            connected_stream(client, proxy.stream_url, headers=ours, params=query) as stream,
        ):
            for frame in stream.frames:
                ours = ours | {"Last-Event-ID": frame.id}
                if frame.event == "message" and frame.data:
                    event = json.loads(frame.data)
                    versions.append(event["version"])
                    if event["data"]["status"] == "completed":
                        return versions
    raise AssertionError(f"{proxy.name}: cut off too often")


def test_it_checks_its_health(deployed: Deployed) -> None:
    command = program_of(exec_form(instructions("HEALTHCHECK")[0]))
    for port, healthy in ((deployed.ports["web1"], True), (1, False)):
        here = [word.replace(":8000/", f":{port}/") for word in command]
        done = subprocess.run(here, env=deployed.stack.env, capture_output=True, text=True)
        assert (done.returncode == 0) is healthy, done.stderr
