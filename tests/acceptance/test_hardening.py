"""What the servers refuse, keep quiet about and tell browsers, on daphne and uvicorn."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest

from tests.acceptance.test_credentials import (
    api,
    bearer,
    machine_token,
    new_client,
    sign_in,
    status_of,
    ticket_for,
)
from tests.acceptance.test_tokens import pair, refresh
from tests.rows import add_execution, set_status
from tests.servers import PROJECT, Stack, StartStack, add_user, wait_for
from tests.sse_client import connected_stream, open_stream

BODY, REQUEST_SECONDS = 100_000, 1.5


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, module_stack: StartStack) -> Stack:
    """A system with an access log and little patience."""
    return module_stack(
        server=f"{request.param}-logging",
        ATTUNE_BODY_BYTES=str(BODY),
        ATTUNE_REQUEST_SECONDS=str(REQUEST_SECONDS),
        ATTUNE_CORS_ORIGINS="https://app.example",
    )


def test_it_keeps_every_secret_out_of_its_logs(server: Stack) -> None:
    add_user(server.database_url, "admin", is_staff=True)
    machine, tokens = machine_token(server, "admin"), pair(server, "admin")
    ticket, spare = ticket_for(server, machine), ticket_for(server, tokens["access"])
    with new_client() as client:
        sign_in(server, client, "admin")
        with connected_stream(client, server.stream_url):
            pass
        with connected_stream(client, server.stream_url, params={"ticket": ticket}):
            pass
        with connected_stream(client, server.stream_url, params={"ticket": ticket}):
            pass
        cookies = [value for value in client.cookies.values() if len(value) > 20]
    with open_stream(server.stream_url, machine), open_stream(server.stream_url, tokens["access"]):
        pass
    for name, value in (
        ("ticket", spare),
        ("%74icket", spare),
        ("ticket", tokens["access"]),
        ("access_token", tokens["access"]),
        ("x", machine),
        ("refresh", tokens["refresh"]),
    ):
        for path in ("executions/stream", "executions", "nothing"):
            with httpx.stream("GET", f"{api(server, path)}?{name}={value}"):
                pass
    for token in (machine, tokens["access"]):
        assert httpx.get(api(server, "executions"), headers=bearer(token)).status_code == 200
        assert httpx.get(api(server, "executions"), headers=bearer(token + "x")).status_code == 401
    second = refresh(server, tokens["refresh"]).json()
    httpx.post(api(server, "auth/token/blacklist"), json={"refresh": second["refresh"]})
    httpx.post(api(server, "auth/token"), content=b'{"password": "secret-of-mine"', timeout=10)
    secrets = [machine, ticket, spare, *tokens.values(), *second.values(), *cookies]
    secrets += [server.env["ATTUNE_SECRET_KEY"], "secret-of-mine", "action=nothing-of-the-kind"]
    log = server.processes["web"].output + server.processes["worker"].output
    assert "/api/v1/executions/stream?ticket=[hidden]" in log, "no access log"
    # The last part of a JWT, too: its signature is what makes it one.
    assert not [s for s in secrets if s in log or s.rpartition(".")[2] in log]


def test_it_refuses_what_is_too_large(server: Stack) -> None:
    token = bearer(server.token())
    url = api(server, "executions")

    def chunks() -> Iterator[bytes]:
        yield b'{"action_ref": "'
        for _ in range(20):
            yield b"x" * (BODY // 10)

    answers = {
        "length": httpx.post(url, headers=token, content=b"x" * (BODY + 1)),
        "chunks": httpx.post(url, headers=token, content=chunks()),
        "list": httpx.get(f"{url}?status={'x' * 10_000}", headers=token),
        "many": httpx.get(f"{url}?execution_id={','.join(map(str, range(1, 202)))}", headers=token),
    }
    statuses = {name: answer.status_code for name, answer in answers.items()}
    assert statuses == {"length": 413, "chunks": 413, "list": 400, "many": 400}
    assert answers["length"].json()["code"] == answers["chunks"].json()["code"] == "too_large"
    many = {f"X-{number}": "x" * 1000 for number in range(40)}
    is_daphne = "daphne" in str(server.processes["web"].child.args)
    for headers, query, status in (({}, "status=" + "x" * 20_000, 414), (many, "", 431)):
        url = f"{server.stream_url}?{query}"
        if is_daphne:  # which closes by itself at 16 KiB, with or without a word
            with suppress(httpx.RemoteProtocolError):
                assert httpx.get(url, headers={**token, **headers}).status_code == 400
        else:
            answer = httpx.get(url, headers={**token, **headers})
            assert (answer.status_code, answer.json()["code"]) == (status, "too_large")
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_it_cuts_those_who_never_finish_a_request(server: Stack) -> None:
    token, ended = server.token(), threading.Event()
    beginnings = [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"POST /api/v1/auth/token HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /healthz HTTP/1.1\r\nX-Slow: ",
    ]
    with ExitStack() as clients, open_stream(server.stream_url, token) as stream:
        slow = [
            clients.enter_context(socket.create_connection(("127.0.0.1", server.web_port)))
            for _ in range(100)
        ]
        for number, client in enumerate(slow):
            client.sendall(beginnings[number % len(beginnings)])
            client.settimeout(20)

        def trickle() -> None:
            while not ended.wait(0.2):
                for number, client in enumerate(slow):
                    if number % len(beginnings):  # one of them says nothing at all
                        with suppress(OSError):
                            client.send(b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            began = time.monotonic()
            assert httpx.get(f"{server.url}/healthz", timeout=1).status_code == 200
            wait_for(lambda: all(is_closed(client) for client in slow), "all to be cut")
            assert time.monotonic() - began < REQUEST_SECONDS + 5
        finally:
            ended.set()
            thread.join()
        # Who is served is not cut: neither a stream, nor a connection that rests in between.
        with server.sql() as conn:
            execution = add_execution(conn)
            set_status(conn, execution, "running")
        assert stream.until(execution, "running")


def is_closed(client: socket.socket) -> bool:
    """Read what is there; say whether the server has closed the connection."""
    client.setblocking(False)
    try:
        while client.recv(65_536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_it_tells_browsers_what_pages_may_do(server: Stack) -> None:
    page = httpx.get(f"{server.url}/admin/login/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy and "*" not in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    docs = httpx.get(api(server, "docs"))
    for text in (page.text, docs.text):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|style=", text)
    script = httpx.get(f"{server.url}/static/executions/docs.js")
    assert script.headers["X-Content-Type-Options"] == "nosniff"


def test_it_lets_exactly_the_origins_of_the_settings_in(server: Stack) -> None:
    token = bearer(server.token())
    preflight = {"Access-Control-Request-Method": "GET"}
    preflight |= {"Access-Control-Request-Headers": "authorization,last-event-id"}
    for url in (server.stream_url, api(server, "executions")):
        for origin, allowed in (
            ("https://app.example", "https://app.example"),
            ("https://app.example.evil", None),
            ("http://app.example", None),
            ("https://evil.app.example", None),
            ("null", None),
        ):
            asked = httpx.options(url, headers={"Origin": origin, **preflight})
            assert asked.headers.get("Access-Control-Allow-Origin") == allowed
            assert "Access-Control-Allow-Credentials" not in asked.headers
            with httpx.stream("GET", url, headers={"Origin": origin, **token}) as answer:
                assert answer.status_code == 200
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed
    page = httpx.get(f"{server.url}/admin/login/", headers={"Origin": "https://app.example"})
    assert "Access-Control-Allow-Origin" not in page.headers


def test_it_opens_no_websocket(server: Stack) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    assert httpx.get(server.stream_url, headers=headers).status_code in (401, 403)
    assert "Traceback" not in server.processes["web"].output


def test_it_passes_the_checks_of_a_deployment(own_stack: Stack) -> None:
    env = {**own_stack.env, "ATTUNE_HTTPS": "true", "PYTHONWARNINGS": "error::DeprecationWarning"}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "DEBUG"],
        env=env,
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout + done.stderr
    own_stack.processes["web"].stop()
    own_stack.start_web(ATTUNE_HTTPS="true", ATTUNE_TRUST_PROXY="true")
    plain = wait_for(
        lambda: (r := httpx.get(f"{own_stack.url}/healthz")).status_code == 200 and r, "the server"
    )
    assert "Strict-Transport-Security" not in plain.headers
    moved = httpx.get(own_stack.stream_url)
    assert (moved.status_code, moved.headers["Location"][:8]) == (301, "https://")
    proxied = {"X-Forwarded-Proto": "https"}
    page = httpx.get(f"{own_stack.url}/admin/login/", headers=proxied)
    assert "includeSubDomains" in page.headers["Strict-Transport-Security"]
    assert "Secure" in page.headers["Set-Cookie"]
    body = {"username": "alice", "password": "secret"}
    token = httpx.post(api(own_stack, "auth/token"), json=body, headers=proxied).json()["access"]
    url = api(own_stack, "executions/stream/ticket")
    ticket = httpx.post(url, headers={**bearer(token), **proxied}).json()["ticket"]
    with httpx.stream(
        "GET", own_stack.stream_url, params={"ticket": ticket}, headers=proxied
    ) as answer:
        assert answer.status_code == 200
        assert "; Secure" in answer.headers["Set-Cookie"]
        assert "max-age" in answer.headers["Strict-Transport-Security"]
    assert status_of(own_stack, headers={**bearer(token), **proxied}) == 200
    assert json.loads(httpx.get(f"{own_stack.url}/readyz").text)
