"""How streams end that do not end by themselves: slow clients, and a server that goes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from psycopg.types.json import Jsonb

from tests.rows import Connection, add_execution
from tests.servers import PROJECT, SERVERS, Stack, StartStack, wait_for
from tests.sse_client import open_stream

MIB = 1024 * 1024


@pytest.fixture(params=sorted(SERVERS))
def server(request: pytest.FixtureRequest, start_stack: StartStack) -> Stack:
    """A system of the test's own, once on each web server."""
    return start_stack(
        server=request.param, ATTUNE_SLOW_CLIENT_SECONDS="1", ATTUNE_RING_BYTES=str(MIB)
    )


@contextmanager
def never_reads(stack: Stack, token: str) -> Iterator[socket.socket]:
    """Ask for a stream, and do not read a byte of it."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", stack.web_port))
        client.sendall(
            b"GET /api/v1/executions/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            + f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        yield client


def change_a_lot(conn: Connection, execution: int, mib: int) -> None:
    """Make events of so many MiB, 60 KiB each."""
    for number in range(mib * 17):
        result = Jsonb({"number": number, "text": "x" * 60_000})
        conn.execute("UPDATE attune.execution SET result = %s WHERE id = %s", [result, execution])


def test_it_frees_clients_that_never_read_and_serves_the_others(server: Stack) -> None:
    web = psutil.Process(server.processes["web"].pid)
    token = server.token()
    with server.sql() as conn, ExitStack() as clients:
        execution = add_execution(conn)
        healthy = clients.enter_context(open_stream(server.stream_url, token))
        for _ in range(10):
            clients.enter_context(never_reads(server, token))
        wait_for(lambda: server.metric("attune_streams") == 11, "all streams to be open")
        before = web.memory_info().rss
        with ThreadPoolExecutor() as threads:
            reading = threads.submit(healthy.until, execution, "failed")
            change_a_lot(conn, execution, 24)
            conn.execute("UPDATE attune.execution SET status = 'failed' WHERE id = %s", [execution])
            seen = reading.result()
        grown = web.memory_info().rss - before
        wait_for(lambda: server.metric("attune_streams") == 1, "the others to be freed")
    versions = [event["version"] for event in seen if event["op"] == "UPDATE"]
    assert versions == list(range(2, 24 * 17 + 3))
    # Ten times 24 MiB were not read. What may grow: ring, pages being read, buffers of 128 KiB.
    assert grown < 40 * MIB, f"{grown / MIB:.0f} MiB"


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_it_bounds_what_all_slow_clients_hold_together(start_stack: StartStack, name: str) -> None:
    own_stack = start_stack(
        server=name, ATTUNE_SLOW_CLIENT_SECONDS="300", ATTUNE_UNSENT_BYTES=str(MIB)
    )
    token, count = own_stack.token(), 30
    with own_stack.sql() as conn, ExitStack() as clients, ThreadPoolExecutor() as threads:
        execution = add_execution(conn)
        healthy = clients.enter_context(open_stream(own_stack.stream_url, token))
        for _ in range(count):
            clients.enter_context(never_reads(own_stack, token))
        wait_for(lambda: own_stack.metric("attune_streams") == count + 1, "all to be open")
        reading = threads.submit(healthy.until, execution, "failed")
        change_a_lot(conn, execution, 16)  # more than the kernel holds
        conn.execute("UPDATE attune.execution SET status = 'failed' WHERE id = %s", [execution])
        assert reading.result()
        # Each of them holds more than 64 KiB.
        wait_for(lambda: own_stack.metric("attune_streams") <= 1 + 16, "some to be cut")
        assert own_stack.metric("attune_streams") > 1


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_it_loses_nothing_of_a_client_that_pauses(start_stack: StartStack, name: str) -> None:
    """What was written to it together with others goes on where the kernel took no more."""
    own_stack = start_stack(server=name, ATTUNE_SLOW_CLIENT_SECONDS="300")
    token = own_stack.token()
    with own_stack.sql() as conn, ExitStack() as clients, ThreadPoolExecutor() as threads:
        execution = add_execution(conn)
        pausing, *healthy = [
            clients.enter_context(open_stream(own_stack.stream_url, token)) for _ in range(3)
        ]
        reading = [threads.submit(stream.until, execution, "failed") for stream in healthy]
        change_a_lot(conn, execution, 16)  # more than the kernel holds
        conn.execute("UPDATE attune.execution SET status = 'failed' WHERE id = %s", [execution])
        seen = [one.result() for one in reading]
        wait_for(lambda: own_stack.metric("attune_unsent_bytes") > 0, "it to be behind")
        assert [pausing.until(execution, "failed")] * 2 == seen


def test_it_frees_clients_that_vanish_without_a_word(own_stack: Stack, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.vanishing", own_stack.database_url, str(tmp_path)],
        env=own_stack.env,
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    if "no network namespace to be had" in done.stderr and not os.environ.get("CI"):
        pytest.skip("a network to pull the plug of takes root, or user namespaces")
    assert done.returncode == 0, done.stderr
    seconds = json.loads(done.stdout)
    assert set(seconds) == set(SERVERS)
    assert max(seconds.values()) < 30, seconds


def test_it_tells_a_slow_client_and_lets_it_resume(server: Stack) -> None:
    token, received = server.token(), bytearray()
    with server.sql() as conn, never_reads(server, token) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        execution = add_execution(conn)
        wait_for(lambda: server.metric("attune_streams") == 1, "the stream to be open")
        change_a_lot(conn, execution, 16)
        wait_for(lambda: server.metric("attune_streams_slow") == 1, "the client to be slow")
        client.settimeout(10)
        while b"slow_consumer" not in received and (chunk := client.recv(MIB)):
            received += chunk
    text = received.decode(errors="replace")
    assert '"reason":"slow_consumer","reconnect":true' in text
    last = text.rpartition("\nid: ")[2].splitlines()[0]
    with server.sql() as conn, open_stream(server.stream_url, token, resume=last) as stream:
        conn.execute("UPDATE attune.execution SET status = 'failed'")
        seen = stream.until(execution, "failed")
    assert seen[0]["seq"] == int(last.rpartition("-")[2]) + 1


def test_it_ends_every_stream_before_it_goes(server: Stack) -> None:
    token, web = server.token(), server.processes.pop("web")
    with ExitStack() as clients, server.sql() as conn:
        streams = [clients.enter_context(open_stream(server.stream_url, token)) for _ in range(5)]
        add_execution(conn)
        web.child.send_signal(signal.SIGTERM)
        retries = set()
        for stream in streams:
            closing = next(f for f in iter(stream.next_frame, None) if f.event == "close")
            assert json.loads(closing.data) == {"reason": "shutdown", "reconnect": True}
            retries.add(closing.retry)
        assert len(retries) > 1 and all(1000 <= (retry or 0) <= 10_000 for retry in retries)
    web.child.wait(timeout=10)
    assert "action=drain streams=5" in web.output
    assert "Traceback" not in web.output


def test_it_goes_within_ten_seconds_whatever_its_clients_do(server: Stack) -> None:
    token, web = server.token(), server.processes.pop("web")
    with never_reads(server, token), server.sql() as conn:
        execution = add_execution(conn)
        wait_for(lambda: server.metric("attune_streams") == 1, "the stream to be open")
        change_a_lot(conn, execution, 16)  # more than the kernel holds
        web.child.send_signal(signal.SIGTERM)
        wait_for(lambda: "action=drain" in web.output, "the signal to arrive")
        ready = httpx.get(f"{server.url}/readyz")
        refused = httpx.get(server.stream_url, headers={"Authorization": f"Bearer {token}"})
        assert (ready.status_code, refused.status_code) == (503, 503)
        assert refused.headers["Retry-After"]
        web.child.wait(timeout=10)


def test_it_ends_a_stream_at_the_end_of_its_life(start_stack: StartStack) -> None:
    own_stack = start_stack(ATTUNE_MAX_LIFETIME_SECONDS="1")
    with open_stream(own_stack.stream_url, own_stack.token()) as stream:
        closing = stream.next_frame()
    assert json.loads(closing.data) == {"reason": "max_lifetime", "reconnect": True}
    assert closing.retry is not None
