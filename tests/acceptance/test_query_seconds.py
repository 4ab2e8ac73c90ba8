"""No request waits for the database longer than ATTUNE_QUERY_SECONDS."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.test_credentials import new_client, sign_in
from tests.rows import add_execution
from tests.servers import Stack, StartStack, add_user

PATHS = [
    "executions",
    "executions?ordering=-updated&status=running",
    "executions/stats",
    "executions/{id}",
    "executions/{id}/events",
    "packs",
    "actions",
]


@pytest.fixture(scope="module")
def impatient(module_stack: StartStack) -> Stack:
    return module_stack(ATTUNE_QUERY_SECONDS="0.2")


@pytest.fixture
def api(impatient: Stack) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {impatient.token()}"}
    with httpx.Client(base_url=f"{impatient.url}/api/v1/", headers=headers) as client:
        yield client


def refused(answer: httpx.Response) -> bool:
    if answer.status_code != 503:
        return False
    assert answer.json()["code"] == "unavailable"
    assert answer.json()["detail"]
    assert answer.headers["Retry-After"] == "2"
    return True


def test_it_ends_a_query_that_takes_too_long(impatient: Stack, api: httpx.Client) -> None:
    with impatient.sql() as conn:
        execution = add_execution(conn)
        paths = [path.format(id=execution) for path in PATHS]
        tables = "pack, action, execution, execution_event, stream_state, auth_user"
        for table in tables.split(", "):
            with conn.transaction():
                conn.execute(f"LOCK TABLE attune.{table} IN ACCESS EXCLUSIVE MODE")
                answers = {path: refused(api.get(path)) for path in paths}
            if table in ("stream_state", "auth_user"):
                assert all(waited for path, waited in answers.items() if "exec" in path), table
            assert any(answers.values()), table
            assert {api.get(path).status_code for path in paths} == {200}, table


def test_it_ends_a_change_that_waits_for_another(impatient: Stack, api: httpx.Client) -> None:
    with impatient.sql() as conn:
        execution = add_execution(conn)
        path = f"executions/{execution}"
        with conn.transaction():
            conn.execute("SELECT FROM attune.execution WHERE id = %s FOR UPDATE", [execution])
            assert refused(api.patch(path, json={"status": "running"}))
            assert refused(api.post(f"{path}/cancel"))
        assert api.patch(path, json={"status": "running"}).json()["version"] == 2


def test_it_says_so_on_pages_too(impatient: Stack, api: httpx.Client) -> None:
    add_user(impatient.database_url, "admin", is_staff=True, is_superuser=True)
    with impatient.sql() as conn, new_client() as browser:
        sign_in(impatient, browser, "admin")
        pages = {
            f"/executions/{add_execution(conn)}/": "execution",
            "/": "django_session",
            "/admin/executions/execution/": "execution",
            "/admin/executions/pack/": "pack",
            "/sign-in/": "auth_user",
        }
        for path, table in pages.items():
            with conn.transaction():
                conn.execute(f"LOCK TABLE attune.{table} IN ACCESS EXCLUSIVE MODE")
                answer = browser.get(f"{impatient.url}{path}")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2"), path
            assert "<h1>Not now</h1>" in answer.text
            assert browser.get(f"{impatient.url}{path}").status_code in (200, 302), path
        with conn.transaction():
            conn.execute("LOCK TABLE attune.django_session IN ACCESS EXCLUSIVE MODE")
            assert refused(browser.get(f"{impatient.url}/api/v1/executions"))
    log = impatient.processes["web"].output
    assert "action=request error=" in log and "Traceback" not in log
