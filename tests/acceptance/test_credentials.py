"""Every way in, on the running system: what opens a stream, and what ends it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from tests.servers import PROJECT, Stack, StartStack, add_user, wait_for
from tests.sse_client import READ_SECONDS, Stream, connected_stream, open_stream

# What a withdrawn credential may still see, at the most.
REVOKED_SECONDS = 5.0


@pytest.fixture
def user(stack: Stack) -> str:
    """A user of the test's own, who may sign in at the admin."""
    name = f"user-{uuid4().hex[:8]}"
    add_user(stack.database_url, name, is_staff=True)
    return name


def api(stack: Stack, path: str) -> str:
    return f"{stack.url}/api/v1/{path}"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def new_client() -> httpx.Client:
    return httpx.Client(timeout=READ_SECONDS)


def ticket_for(stack: Stack, token: str) -> str:
    answer = httpx.post(api(stack, "executions/stream/ticket"), headers=bearer(token))
    assert answer.status_code == 200, answer.text
    assert answer.json()["expires_in"] == 30
    assert answer.headers["Cache-Control"] == "no-store"
    return str(answer.json()["ticket"])


def status_of(stack: Stack, **request: Any) -> int:
    """Return how a request for a stream is answered."""
    with httpx.stream("GET", stack.stream_url, timeout=READ_SECONDS, **request) as answer:
        return answer.status_code


def sign_in(stack: Stack, client: httpx.Client, username: str) -> None:
    """Sign in at the admin, as a browser would."""
    url = f"{stack.url}/admin/login/"
    page = client.get(url)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    form = {"username": username, "password": "secret", "csrfmiddlewaretoken": token[1]}
    answer = client.post(url, data=form, headers={"Referer": url})
    assert answer.status_code == 302, answer.text


def machine_token(stack: Stack, username: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "createtoken", username, *options],
        env=stack.env,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def set_password(stack: Stack, username: str) -> None:
    password = PBKDF2PasswordHasher().encode("another", "salt", iterations=1000)
    with stack.sql() as conn:
        conn.execute(
            "UPDATE attune.auth_user SET password = %s WHERE username = %s", [password, username]
        )


def test_it_opens_a_stream_with_a_ticket_once(stack: Stack, user: str) -> None:
    ticket = ticket_for(stack, stack.token(user))
    with stack.sql() as conn:
        stored = conn.execute("SELECT t::text FROM attune.stream_ticket t").fetchall()
    assert stored and not any(ticket in row[0] or ticket[17:] in row[0] for row in stored)
    params = {"ticket": ticket}
    with new_client() as client, connected_stream(client, stack.stream_url, params=params):
        assert status_of(stack, params=params) == 401
    assert status_of(stack, params=params) == 401


def test_it_lets_an_eventsource_reconnect_with_the_cookie_of_its_ticket(
    stack: Stack, user: str
) -> None:
    params = {"ticket": ticket_for(stack, stack.token(user))}
    with new_client() as client:
        with connected_stream(client, stack.stream_url, params=params) as stream:
            cookie = stream.response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert "Path=/api/v1/executions/stream;" in cookie
        with connected_stream(client, stack.stream_url, params=params):
            pass
        # Neither is the cookie good without the ticket, nor with somebody else's.
        assert status_of(stack, cookies=client.cookies) == 401
        foreign = {"ticket": ticket_for(stack, stack.token())}
        assert status_of(stack, params=foreign) == 200
        assert status_of(stack, params=foreign, cookies=client.cookies) == 401
        evil = {"Origin": "https://evil.example"}
        assert status_of(stack, params=params, cookies=client.cookies, headers=evil) == 401


def test_it_refuses_the_cookie_of_a_ticket_whose_token_has_expired(
    start_stack: StartStack,
) -> None:
    own_stack = start_stack(ATTUNE_ACCESS_TOKEN_SECONDS="3")
    params = {"ticket": ticket_for(own_stack, own_stack.token()), "snapshot": "true"}
    with new_client() as client:
        with connected_stream(client, own_stack.stream_url, params=params) as stream:
            closing = next(frame for frame in stream.frames if frame.event == "close")
        assert json.loads(closing.data)["reason"] == "token_expired"
        request = {"params": params, "cookies": client.cookies}
        wait_for(lambda: status_of(own_stack, **request) == 401, "the token to be over")


def test_it_gives_out_no_token_while_the_password_is_being_changed(stack: Stack, user: str) -> None:
    sign_in = {"username": user, "password": "secret"}
    refresh = httpx.post(api(stack, "auth/token"), json=sign_in).json()["refresh"]
    with stack.sql() as conn, stack.sql() as other, ThreadPoolExecutor(1) as asking:
        conn.execute("BEGIN")
        conn.execute("UPDATE attune.auth_user SET password = 'x' WHERE username = %s", [user])
        answer = asking.submit(
            httpx.post,
            api(stack, "auth/token/refresh"),
            json={"refresh": refresh},
            timeout=READ_SECONDS,
        )
        waiting = """
            SELECT 1 FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND query LIKE '%auth_user%FOR NO KEY UPDATE%'
        """
        wait_for(
            lambda: answer.done() or other.execute(waiting).fetchone(),
            "the answer, or that it waits",
        )
        conn.execute("COMMIT")
        assert answer.result().status_code == 401


def test_it_lets_exactly_one_of_many_connects_have_a_ticket(stack: Stack, user: str) -> None:
    params = {"ticket": ticket_for(stack, stack.token(user))}
    with ThreadPoolExecutor(20) as threads:
        statuses = list(threads.map(lambda _: status_of(stack, params=params), range(20)))
    assert sorted(statuses) == [200] + [401] * 19


@pytest.mark.parametrize("name", ["ticket", "access_token", "token", "jwt"])
def test_it_takes_no_token_from_a_url(stack: Stack, name: str) -> None:
    assert status_of(stack, params={name: stack.token()}) == 401


def test_it_takes_a_machine_token_until_it_is_deleted(stack: Stack, user: str) -> None:
    token = machine_token(stack, user)
    assert token.startswith("attune_")
    with stack.sql() as conn:
        (digest,) = conn.execute(
            "SELECT digest FROM attune.knox_authtoken WHERE token_key = %s", [token[:15]]
        ).fetchone() or ("",)
        assert digest and token not in digest
        assert httpx.get(api(stack, "executions"), headers=bearer(token)).status_code == 200
        with open_stream(stack.stream_url, token) as stream:
            assert json.loads(stream.connected.data)["expires_at"]
        params = {"ticket": ticket_for(stack, token)}
        conn.execute("DELETE FROM attune.knox_authtoken WHERE digest = %s", [digest])
    assert httpx.get(api(stack, "executions"), headers=bearer(token)).status_code == 401
    assert status_of(stack, headers=bearer(token)) == 401
    assert status_of(stack, params=params) == 401


def test_it_refuses_an_expired_machine_token(stack: Stack, user: str) -> None:
    token = machine_token(stack, user, "--days", "1")
    with stack.sql() as conn:
        conn.execute(
            "UPDATE attune.knox_authtoken SET expiry = now() WHERE token_key = %s", [token[:15]]
        )
    assert httpx.get(api(stack, "executions"), headers=bearer(token)).status_code == 401
    assert status_of(stack, headers=bearer(token)) == 401


@pytest.mark.parametrize("rest", ["", "0" * 64, "é", "g" * 64])
def test_it_refuses_what_only_looks_like_a_machine_token(stack: Stack, rest: str) -> None:
    headers = {"Authorization": f"Bearer attune_{rest}".encode()}
    assert httpx.get(api(stack, "executions"), headers=headers).status_code == 401
    assert status_of(stack, headers=headers) == 401


def test_it_takes_a_session_from_its_own_pages_only(stack: Stack, user: str) -> None:
    with new_client() as client:
        sign_in(stack, client, user)
        cookies = client.cookies
        with connected_stream(client, stack.stream_url):
            pass
        for headers, status in (
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Sec-Fetch-Site": "none"}, 200),
            ({"Sec-Fetch-Site": "same-site"}, 401),
            ({"Sec-Fetch-Site": "cross-site"}, 401),
            ({"Origin": stack.url}, 200),
            ({"Origin": "https://evil.example"}, 401),
            ({"Origin": "null"}, 401),
            ({"Origin": stack.url, "Sec-Fetch-Site": "cross-site"}, 401),
        ):
            assert status_of(stack, headers=headers, cookies=cookies) == status, headers
            listed = httpx.get(api(stack, "executions"), headers=headers, cookies=cookies)
            assert listed.status_code == status, headers
        url = api(stack, "executions/stream/ticket")
        assert client.post(url).status_code == 403
        allowed = client.post(url, headers={"X-CSRFToken": client.cookies["csrftoken"]})
        assert allowed.status_code == 200
        assert status_of(stack, params={"ticket": allowed.json()["ticket"]}) == 200
        assert status_of(stack, cookies={"sessionid": "0" * 32}) == 401


def test_it_ends_streams_within_seconds_of_their_credential(stack: Stack) -> None:
    kinds = ("leaver", "new", "ticket", "session", "machine")
    names = {kind: f"{kind}-{uuid4().hex[:8]}" for kind in kinds}
    for name in names.values():
        add_user(stack.database_url, name, is_staff=True)
    with ExitStack() as clients, stack.sql() as conn:
        client = clients.enter_context(new_client())
        sign_in(stack, client, names["session"])
        machine = machine_token(stack, names["machine"])

        def open_with(**request: Any) -> Stream:
            return clients.enter_context(connected_stream(client, stack.stream_url, **request))

        streams = [
            open_with(headers=bearer(stack.token(names["leaver"]))),
            open_with(headers=bearer(stack.token(names["new"]))),
            open_with(params={"ticket": ticket_for(stack, stack.token(names["ticket"]))}),
            open_with(params={"ticket": ticket_for(stack, machine)}),
            open_with(headers=bearer(machine)),
            open_with(),
        ]
        healthy = open_with(headers=bearer(stack.token()))
        leaver, session = names["leaver"], client.cookies["sessionid"]
        conn.execute("UPDATE attune.auth_user SET is_active = false WHERE username = %s", [leaver])
        set_password(stack, names["new"])
        set_password(stack, names["ticket"])
        conn.execute("DELETE FROM attune.knox_authtoken WHERE token_key = %s", [machine[:15]])
        conn.execute("DELETE FROM attune.django_session WHERE session_key = %s", [session])
        began = time.monotonic()
        for stream in streams:
            closing = next(frame for frame in stream.frames if frame.event == "close")
            assert json.loads(closing.data) == {"reason": "revoked", "reconnect": False}
        assert time.monotonic() - began < REVOKED_SECONDS
        assert stack.metric("attune_streams") == 1, healthy


def test_it_ends_a_session_with_the_password_it_was_made_by(stack: Stack, user: str) -> None:
    with new_client() as client:
        sign_in(stack, client, user)
        with connected_stream(client, stack.stream_url) as stream:
            set_password(stack, user)
            closing = next(frame for frame in stream.frames if frame.event == "close")
        assert json.loads(closing.data)["reason"] == "revoked"
        assert status_of(stack, cookies=client.cookies) == 401
