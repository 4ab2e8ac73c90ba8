"""Executions of a restricted pack: who gets what of them, at every endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.acceptance.test_credentials import new_client, ticket_for
from tests.permissions import grant, grant_group, join_group, leave_groups, withdraw
from tests.rows import Connection, add_execution, one, set_status
from tests.servers import Stack, StartStack, add_user, wait_for
from tests.sse_client import Stream, connected_stream, open_stream

ROLES = {"owner": True, "teammate": True, "superuser": True, "outsider": False, "former": False}
CREDENTIALS = ("/auth/",)  # who may sign in: tests of their own
PUBLIC = {"GET /schema", "GET /docs"}


@dataclass
class Vault:
    """A restricted pack with an action, and those who may see it and who may not."""

    stack: Stack
    conn: Connection
    name: str

    def user(self, role: str) -> str:
        return f"{role}-{self.name}"

    def execution(self) -> int:
        owner = one(
            self.conn, "SELECT id FROM attune.auth_user WHERE username = %s", self.user("owner")
        )
        return add_execution(self.conn, f"{self.name}.open", executor=owner)

    def client(self, role: str) -> httpx.Client:
        headers = {}
        if role != "anonymous":
            headers["Authorization"] = f"Bearer {self.stack.token(self.user(role))}"
        return httpx.Client(base_url=f"{self.stack.url}/api/v1/", headers=headers, timeout=30)


@pytest.fixture
def vault(stack: Stack) -> Iterator[Vault]:
    name = f"vault{uuid4().hex[:8]}"
    with stack.sql() as conn:
        made = Vault(stack, conn, name)
        conn.execute("INSERT INTO attune.pack (ref, restricted) VALUES (%s, true)", [name])
        conn.execute(
            "INSERT INTO attune.action (ref, pack) SELECT ref || '.open', id FROM attune.pack"
            " WHERE ref = %s",
            [name],
        )
        for role in ROLES:
            add_user(stack.database_url, made.user(role), is_superuser=role == "superuser")
        for role in ("owner", "former"):
            grant(conn, name, user=made.user(role))
        withdraw(conn, user=made.user("former"))
        grant_group(conn, name, group=name)
        join_group(conn, name, user=made.user("teammate"))
        yield made


def stream(api: httpx.Client, **params: Any) -> httpx.Response:
    """Open a stream and say how that went."""
    with api.stream("GET", "executions/stream", params=params) as answer:
        if answer.status_code != 200:
            answer.read()
        return answer


def stream_by_ticket(api: httpx.Client, **params: Any) -> httpx.Response:
    """Ask for a ticket, and for a stream with it and nothing else."""
    answer = api.post("executions/stream/ticket")
    if not answer.is_success:
        return answer
    with httpx.Client(base_url=api.base_url, timeout=30) as nobody:
        return stream(nobody, ticket=answer.json()["ticket"], **params)


Call = Callable[[httpx.Client, Any, str], httpx.Response]

# By operation: calls that name one execution (`id`) and pack (`vault`), and the status for who
# may not see them.
NAMED: dict[str, list[tuple[Call, int]]] = {
    "GET /executions": [(lambda api, id, vault: api.get("executions", params={"root": id}), 404)],
    "POST /executions": [
        (lambda api, id, vault: api.post("executions", json={"action_ref": f"{vault}.open"}), 400),
        (
            lambda api, id, vault: api.post(
                "executions", json={"action_ref": "tests.open", "parent": id}
            ),
            400,
        ),
    ],
    "GET /executions/{id}": [(lambda api, id, vault: api.get(f"executions/{id}"), 404)],
    "PATCH /executions/{id}": [
        (lambda api, id, vault: api.patch(f"executions/{id}", json={"result": 1}), 404)
    ],
    "POST /executions/{id}/cancel": [
        (lambda api, id, vault: api.post(f"executions/{id}/cancel"), 404)
    ],
    "GET /executions/{id}/events": [
        (lambda api, id, vault: api.get(f"executions/{id}/events"), 404)
    ],
    "GET /executions/stats": [
        (lambda api, id, vault: api.get("executions/stats", params={"root": id}), 404)
    ],
    "GET /executions/stream": [
        (lambda api, id, vault: stream(api, execution_id=id), 404),
        (lambda api, id, vault: stream(api, root=id), 404),
        (lambda api, id, vault: stream(api, root=id, until="terminal"), 404),
    ],
    "POST /executions/stream/ticket": [
        (lambda api, id, vault: stream_by_ticket(api, execution_id=id), 404),
        (lambda api, id, vault: stream_by_ticket(api, root=id, snapshot="true"), 404),
    ],
}
# Calls that look for them, and how to see that they were found.
SEARCHES: dict[str, list[tuple[Call, str]]] = {
    "GET /executions": [
        (lambda api, id, vault: api.get("executions", params={"execution_id": id}), "results"),
        (lambda api, id, vault: api.get("executions", params={"pack": vault}), "results"),
        (lambda api, id, vault: api.get("executions?page_size=500"), "results"),
    ],
    "GET /executions/stats": [
        (lambda api, id, vault: api.get("executions/stats", params={"pack": vault}), "by_action")
    ],
    "GET /packs": [
        (lambda api, id, vault: api.get("packs", params={"ref": vault}), "results"),
        (lambda api, id, vault: api.get("packs?page_size=500"), "results"),
    ],
    "GET /actions": [
        (lambda api, id, vault: api.get("actions", params={"pack": vault}), "results"),
        (lambda api, id, vault: api.get("actions?page_size=500"), "results"),
    ],
}


def test_it_knows_every_endpoint(stack: Stack) -> None:
    paths = httpx.get(f"{stack.url}/api/v1/schema").json()["paths"]
    operations = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, item in paths.items()
        for method in item
        if not any(part in path for part in CREDENTIALS)
    }
    assert operations == {*NAMED, *SEARCHES, *PUBLIC}


@pytest.mark.parametrize("role", ROLES)
def test_it_answers_by_what_somebody_may_see(vault: Vault, role: str) -> None:
    vault.conn.execute(
        "INSERT INTO attune.pack (ref) VALUES ('tests') ON CONFLICT DO NOTHING;"
        " INSERT INTO attune.action (ref, pack) SELECT 'tests.open', id FROM attune.pack"
        " WHERE ref = 'tests' ON CONFLICT DO NOTHING"
    )
    hidden = vault.execution()
    unknown = 10**15 + hidden
    with vault.client(role) as api:
        for operation, searches in SEARCHES.items():
            for call, key in searches:
                answer = call(api, hidden, vault.name)
                assert answer.status_code == 200, (operation, answer.text)
                assert (vault.name in json.dumps(answer.json()[key])) is ROLES[role], operation
        for operation, calls in NAMED.items():
            for call, refusal in calls:
                answer = call(api, hidden, vault.name)
                if ROLES[role]:
                    assert answer.is_success, (operation, answer.text)
                    continue
                other = call(api, unknown, "nobody")
                assert answer.status_code == other.status_code == refusal, operation
                told = answer.text.replace(vault.name, "nobody")
                assert told.replace(str(hidden), str(unknown)) == other.text, operation
                assert comparable(answer) == comparable(other), operation


def comparable(answer: httpx.Response) -> dict[str, str]:
    """Return the headers, less what changes by itself from one answer to the next."""
    changing = {"date": "", "x-attune-cursor": "", "x-request-id": "", "content-length": ""}
    return {**answer.headers, **{k: v for k, v in changing.items() if k in answer.headers}}


def test_it_shows_nothing_to_nobody(vault: Vault) -> None:
    hidden = vault.execution()
    with vault.client("anonymous") as api:
        for operation, calls in [*NAMED.items(), *SEARCHES.items()]:
            for call, _ in calls:
                answer = call(api, hidden, vault.name)
                assert answer.status_code == 401, operation
                assert answer.json()["code"] == "not_authenticated"
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("way", ["token", "ticket"])
@pytest.mark.parametrize("role", ROLES)
def test_it_streams_by_what_somebody_may_see(vault: Vault, role: str, way: str) -> None:
    """Snapshot, replay and live events."""
    token = vault.stack.token(vault.user(role))
    old = vault.execution()

    def opened(**request: Any) -> AbstractContextManager[Stream]:
        if way == "token":
            return open_stream(vault.stack.stream_url, token, **request)
        ticket = ticket_for(vault.stack, token)
        resume = request.pop("resume", None)
        headers = {"Last-Event-ID": resume} if resume else {}
        params = {"ticket": ticket, **request}
        return connected_stream(nobody, vault.stack.stream_url, params=params, headers=headers)

    packs = f"{vault.name},marks{vault.name}"
    with new_client() as nobody, opened(snapshot="true", pack=packs) as live:
        state = json.loads(live.next_frame().data)
        shown = {row["entity_id"] for row in state["executions"]}
        new = vault.execution()
        set_status(vault.conn, old, "running")
        mark = add_execution(vault.conn, f"marks{vault.name}.run")
        seen = {event["entity_id"] for event in live.until(mark, "requested")}
        with opened(resume=live.connected.id) as replayed:
            again = {event["entity_id"] for event in replayed.until(mark, "requested")}
    if ROLES[role]:
        assert shown == {old} and seen == {old, new, mark} and again >= {old, new}
    else:
        assert not shown and seen == {mark} and again.isdisjoint({old, new})


def test_it_looks_at_the_rights_of_when_a_ticket_is_used(vault: Vault) -> None:
    token = vault.stack.token(vault.user("owner"))
    hidden = vault.execution()
    ticket = ticket_for(vault.stack, token)
    withdraw(vault.conn, user=vault.user("owner"))
    with httpx.Client(base_url=f"{vault.stack.url}/api/v1/", timeout=30) as nobody:
        assert stream(nobody, ticket=ticket, execution_id=hidden).status_code == 404


def test_it_follows_rights_in_the_middle_of_a_stream(start_stack: StartStack) -> None:
    own_stack = start_stack(ATTUNE_ACCESS_CHECK_SECONDS="0.1")
    with own_stack.sql() as conn:
        conn.execute("INSERT INTO attune.pack (ref, restricted) VALUES ('vault', true)")
        grant_group(conn, "vault", group="keepers")

        def set_superuser(value: bool) -> None:
            conn.execute(
                "UPDATE attune.auth_user SET is_superuser = %s WHERE username = 'alice'", [value]
            )

        steps: list[tuple[Callable[[], object], bool]] = [
            (lambda: grant(conn, "vault", user="alice"), True),
            (lambda: withdraw(conn, user="alice"), False),
            (lambda: join_group(conn, "keepers", user="alice"), True),
            (lambda: leave_groups(conn, user="alice"), False),
            (lambda: set_superuser(True), True),
            (lambda: set_superuser(False), False),
            (lambda: conn.execute("DELETE FROM attune.pack WHERE ref = 'vault'"), True),
        ]
        with open_stream(own_stack.stream_url, own_stack.token()) as stream:

            def sees() -> bool:
                execution = add_execution(conn, "vault.open")
                mark = add_execution(conn, "other.run")
                seen = {event["entity_id"] for event in stream.until(mark, "requested")}
                return execution in seen

            assert not sees()
            for change, expected in steps:
                change()
                wait_for(lambda wanted=expected: sees() is wanted, "the stream to follow")
