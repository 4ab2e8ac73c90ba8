"""Whatever can go wrong with a request, OpenAPI describes the answer."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import jsonschema
import pytest

from tests.acceptance.test_credentials import bearer, new_client, sign_in
from tests.rows import Connection, add_execution
from tests.servers import Stack, StartStack, add_user, wait_for
from tests.sse_client import open_stream

LIMITS = {
    "ATTUNE_BODY_BYTES": "2000",
    "ATTUNE_HEADER_BYTES": "4000",
    "ATTUNE_URL_BYTES": "2000",
    "ATTUNE_REQUEST_SECONDS": "2",
    "ATTUNE_QUERY_SECONDS": "1",
    "ATTUNE_STREAMS_PER_USER": "1",
    "ATTUNE_LOGIN_FAILURES": "1",
}
# Of this test alone: a wrong password in another, at the same Redis, would be the one too many.
USER, ADMIN = (f"{name}-{uuid4().hex[:8]}" for name in ("user", "admin"))
JSON = {"Content-Type": "application/json"}


@dataclass
class Described:
    """The operations of the description, and the errors that they have answered with."""

    stack: Stack
    schema: dict[str, Any]
    execution: int
    seen: set[int] = field(default_factory=set)

    def operations(self) -> Iterator[tuple[str, str]]:
        for path, item in self.schema["paths"].items():
            yield from ((method, path) for method in item)

    def url(self, path: str) -> str:
        return self.stack.url + path.replace("{id}", str(self.execution))

    def check(self, operation: tuple[str, str], status: int, headers: Any, body: Any) -> None:
        method, path = operation
        answers = self.schema["paths"][path][method]["responses"]
        assert str(status) in answers, f"{method} {path} answers {status}: {body!r}"
        if status >= 400:
            self.seen.add(status)
            jsonschema.validate(body, self.schema["components"]["schemas"]["Error"])
            for name in answers[str(status)].get("headers", {}):
                assert headers[name], f"{method} {path}: {status} without {name}"

    def send(self, operation: tuple[str, str], client: httpx.Client, **request: Any) -> int:
        method, path = operation
        with client.stream(method.upper(), self.url(path), **request) as answer:
            body = None
            if answer.status_code >= 400:
                answer.read()
                body = answer.json()
            self.check(operation, answer.status_code, answer.headers, body)
            return answer.status_code


@pytest.fixture
def described(start_stack: StartStack) -> Described:
    own_stack = start_stack(server="uvicorn", **LIMITS)
    add_user(own_stack.database_url, USER)
    schema = httpx.get(f"{own_stack.url}/api/v1/schema").json()
    with own_stack.sql() as conn:
        execution = add_execution(conn, status="completed")
    return Described(own_stack, schema, execution)


def wrong_requests(token: str) -> dict[str, dict[str, Any]]:
    signed_in = bearer(token)
    return {
        "nobody": {},
        "forged": {"headers": bearer(token[:-3] + "xxx")},
        "another host": {"headers": {**signed_in, "Host": "elsewhere.example"}},
        "an unknown parameter": {"headers": signed_in, "params": {"nonsense": "1"}},
        "an unknown root": {"headers": signed_in, "params": {"root": "1234567"}},
        "a long URL": {"headers": signed_in, "params": {"status": "x" * 3000}},
        "large headers": {"headers": {**signed_in, "X-Large": "x" * 5000}},
        "a large body": {"headers": {**signed_in, **JSON}, "content": b" " * 3000},
        "no JSON": {"headers": {**signed_in, **JSON}, "content": b"{"},
        "another type": {"headers": {**signed_in, "Content-Type": "text/csv"}, "content": b"x"},
        "another answer": {"headers": {**signed_in, "Accept": "text/csv"}},
        "all right": {"headers": signed_in},
    }


def test_it_describes_whatever_it_answers(described: Described) -> None:
    stack = described.stack
    operations = list(described.operations())
    add_user(stack.database_url, ADMIN, is_staff=True)
    with new_client() as client:
        for request in wrong_requests(stack.token(USER)).values():
            for operation in operations:
                described.send(operation, client, **request)
        sign_in(stack, client, ADMIN)
        for operation in operations:
            described.send(operation, client)  # without X-CSRFToken
    with ThreadPoolExecutor(len(operations)) as threads:
        slow = {
            operation: threads.submit(half_a_request, described, *operation)
            for operation in operations
        }
    for operation, answer in slow.items():
        described.check(operation, *answer.result())
    at_the_limits(described)
    with stack.sql() as conn:
        while_the_database_hangs(described, conn, operations)
    mentioned = {
        int(status)
        for method, path in operations
        for status in described.schema["paths"][path][method]["responses"]
        if status >= "400"
    }
    assert described.seen == mentioned


def half_a_request(described: Described, method: str, path: str) -> tuple[int, Any, Any]:
    """Announce a body that does not come, and return the answer."""
    with closing(
        http.client.HTTPConnection("127.0.0.1", described.stack.web_port, timeout=20)
    ) as half:
        half.putrequest(method.upper(), described.url(path).removeprefix(described.stack.url))
        half.putheader("Authorization", f"Bearer {described.stack.token(USER)}")
        half.putheader("Content-Length", "10")
        half.endheaders()
        answer = half.getresponse()
        body = httpx.Response(200, content=answer.read() if answer.status >= 400 else b"null")
        return answer.status, answer.headers, body.json()


def at_the_limits(described: Described) -> None:
    stack, token = described.stack, described.stack.token(USER)
    wrong = {"json": {"username": "admin", "password": "guess"}}
    stream = ("get", "/api/v1/executions/stream")
    with new_client() as client:
        for expected in (401, 429):
            assert described.send(("post", "/api/v1/auth/token"), client, **wrong) == expected
        with open_stream(stack.stream_url, token):
            assert described.send(stream, client, headers=bearer(token)) == 429
        stack.processes.pop("worker").stop()
        wait_for(
            lambda: described.send(stream, client, headers=bearer(token)) == 503,
            "the worker to be missed",
        )


def while_the_database_hangs(
    described: Described, conn: Connection, operations: list[tuple[str, str]]
) -> None:
    conn.execute("BEGIN; LOCK TABLE attune.auth_user IN ACCESS EXCLUSIVE MODE")
    headers = bearer(described.stack.token(USER))
    with new_client() as client, ThreadPoolExecutor(len(operations)) as threads:
        asked = [threads.submit(described.send, one, client, headers=headers) for one in operations]
    assert [answer.result() for answer in asked].count(503) > 5
    conn.execute("ROLLBACK")
