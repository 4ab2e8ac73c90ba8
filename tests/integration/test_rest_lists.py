"""What the REST API says of many executions at once, of their history, and of itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from executions.api.listing import ORDERINGS
from executions.errors import Code
from executions.models import Action, Execution, Pack
from tests.integration.test_rest import client_of, execution_of, post

pytestmark = pytest.mark.django_db

EXECUTIONS = "/api/v1/executions"


@pytest.fixture
def api() -> Client:
    return client_of(User.objects.create_user("alice"))


@pytest.fixture
def action() -> Action:
    pack = Pack.objects.create(ref="core")
    schema = {"type": "object", "required": ["host"], "properties": {"host": {"type": "string"}}}
    return Action.objects.create(ref="core.run", pack=pack, param_schema=schema)


def ids(api: Client, query: str = "") -> list[int]:
    answer = api.get(f"{EXECUTIONS}{query}")
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_it_lists_what_was_asked_for(api: Client, action: Action) -> None:
    root = execution_of(action)
    child = execution_of(action, parent=root, status="running")
    other = Execution.objects.create(action_ref="other.job")
    assert ids(api) == [other.pk, child.pk, root.pk]
    assert ids(api, "?status=running") == [child.pk]
    assert ids(api, "?status=running&status=requested&pack=core") == [child.pk, root.pk]
    assert ids(api, "?action_ref=core.*") == [child.pk, root.pk]
    assert ids(api, f"?root={root.pk}") == [child.pk, root.pk]
    assert ids(api, f"?parent={root.pk}") == [child.pk]
    assert ids(api, f"?execution_id={root.pk},{other.pk}") == [other.pk, root.pk]


def test_it_pages_without_repeating_or_leaving_out(api: Client, action: Action) -> None:
    rows = [execution_of(action).pk for _ in range(7)]
    seen: list[int] = []
    url: str | None = f"{EXECUTIONS}?page_size=3"
    while url:
        page = api.get(url).json()
        seen += [row["id"] for row in page["results"]]
        execution_of(action)  # what comes meanwhile is newer
        url = page["next"]
    assert seen == rows[::-1]


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_it_pages_there_and_back_in_any_order(api: Client, ordering: str) -> None:
    with connection.cursor() as cursor:  # all with the same `created`, as of one bulk INSERT
        cursor.execute(
            "INSERT INTO attune.execution (action_ref) SELECT 'core.run' FROM generate_series(1, 7)"
        )
        cursor.execute("UPDATE attune.execution SET enforcement = 1 WHERE id % 2 = 0")
    column = ordering.removeprefix("-")
    wanted = list(
        Execution.objects.order_by(ordering, "-id" if ordering[0] == "-" else "id").values_list(
            "id", column
        )
    )
    seen: list[list[int]] = []
    url: str | None = f"{EXECUTIONS}?page_size=3&ordering={ordering}"
    while url:
        page = api.get(url).json()
        seen.append([row["id"] for row in page["results"]])
        last, url = url, page["next"]
    assert [id for ids in seen for id in ids] == [id for id, *_ in wanted]
    back = [api.get(last).json()]
    while back[-1]["previous"]:
        back.append(api.get(back[-1]["previous"]).json())
    assert [[row["id"] for row in page["results"]] for page in back[::-1]] == seen


def test_it_lists_by_who_asked_for_them_and_when(api: Client, action: Action) -> None:
    bob = User.objects.create_user("bob")
    old = execution_of(action, executor=bob, created="2020-01-01T00:00:00Z")
    new = execution_of(action, created="2021-01-01T00:00:00Z")
    assert ids(api, f"?executor={bob.pk}") == [old.pk]
    assert ids(api, "?created_before=2021-01-01") == [old.pk]
    assert ids(api, "?created_after=2020-01-01T00:00:01Z") == [new.pk]
    assert ids(api, "?created_after=2020-01-01T02:00:00%2B02:00&created_before=2020-06-01") == [
        old.pk
    ]
    assert ids(api, "?updated_after=2022-01-01") == [new.pk, old.pk]
    assert ids(api, "?updated_before=2022-01-01") == []


def test_it_takes_a_cursor_only_where_it_comes_from(api: Client, action: Action) -> None:
    for _ in range(2):
        execution_of(action)
    page = api.get(f"{EXECUTIONS}?page_size=1").json()
    for url in (f"{page['next']}&ordering=created", f"{EXECUTIONS}?cursor=WzEsMl0:x"):
        answer = api.get(url)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        assert "cursor" in answer.json()["errors"]


WRONG = [
    "?colour=red",
    "?status=lost",
    "?root=x",
    "?page_size=0",
    "?page_size=501",
    "?ordering=name",
    "?created_after=yesterday",
    "?execution_id=" + ",".join(map(str, range(1, 202))),
]


@pytest.mark.parametrize("query", WRONG)
def test_it_names_what_it_does_not_take(api: Client, query: str) -> None:
    answer = api.get(EXECUTIONS + query)
    name = query[1:].partition("=")[0]
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert name in answer.json()["detail"]


def test_it_gives_a_position_to_stream_from(api: Client, action: Action) -> None:
    execution = execution_of(action)
    for path in (EXECUTIONS, f"{EXECUTIONS}/{execution.pk}"):
        epoch, _, seq = api.get(path)["X-Attune-Cursor"].partition("-")
        assert epoch and seq.isdigit()


def test_it_tells_a_history_from_either_end(api: Client, action: Action) -> None:
    execution = execution_of(action)
    with connection.cursor() as cursor:
        for progress in range(1, 8):
            cursor.execute("UPDATE attune.execution SET result = to_jsonb(%s)", [progress])
        cursor.execute("SELECT attune.sequence_v4(100)")
    history = f"{EXECUTIONS}/{execution.pk}/events"

    def versions(query: str = "") -> list[list[int]]:
        pages = []
        url: str | None = f"{history}?page_size=3{query}"
        while url:
            page = api.get(url).json()
            pages.append([event["version"] for event in page["results"]])
            url = page["next"]
        return pages

    first, *_, last = [event["seq"] for event in api.get(history).json()["results"]]
    assert versions() == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert versions("&ordering=-seq") == [[8, 7, 6], [5, 4, 3], [2, 1]]
    assert versions(f"&ordering=-seq&after={first}") == [[8, 7, 6], [5, 4, 3], [2]]
    assert versions(f"&before={last}") == [[1, 2, 3], [4, 5, 6], [7]]
    assert versions(f"&after={last}") == versions("&before=0") == [[]]
    assert versions("&before=9223372036854775807&after=9223372036854775807") == [[]]
    for query in ("?before=-1", "?ordering=id", "?after=x", "?cursor=1"):
        answer = api.get(history + query)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_it_holds_a_config_against_its_schema(api: Client, action: Action) -> None:
    wrong = post(api, EXECUTIONS, action_ref="core.run", config={"host": 5})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid")
    assert "config" in wrong.json()["errors"]
    right = post(api, EXECUTIONS, action_ref="core.run", config={"host": "a"})
    assert right.status_code == 201, right.content


def test_it_cancels_what_has_not_ended(api: Client, action: Action) -> None:
    running = execution_of(action, status="running")
    answer = post(api, f"{EXECUTIONS}/{running.pk}/cancel")
    assert answer.json()["status"] in ("canceling", "cancelled")
    ended = execution_of(action, status="completed")
    refused = post(api, f"{EXECUTIONS}/{ended.pk}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "transition_not_allowed")
    assert "completed" in refused.json()["detail"]


def test_it_hides_what_is_invisible_as_if_it_were_unknown(api: Client) -> None:
    Pack.objects.create(ref="vault", restricted=True)
    hidden = Execution.objects.create(action_ref="vault.open")
    unknown = hidden.pk + 1000

    def answers(execution: int) -> list[Any]:
        path = f"{EXECUTIONS}/{execution}"
        calls = [
            api.get(path),
            api.get(f"{path}/events"),
            api.get(f"{EXECUTIONS}?root={execution}"),
            api.get(f"{EXECUTIONS}?parent={execution}"),
            api.get(f"{EXECUTIONS}?execution_id={execution}"),
            post(api, f"{path}/cancel"),
            api.patch(path, {"status": "running"}, content_type="application/json"),
        ]
        return [(call.status_code, call.json()) for call in calls]

    assert answers(hidden.pk) == answers(unknown)
    stats = api.get(f"{EXECUTIONS}/stats").json()
    assert stats["by_action"] == [] and not any(stats["by_status"].values())


def test_it_counts_what_goes_on(api: Client, action: Action) -> None:
    for status in ("running", "running", "completed", "failed"):
        execution_of(action, status=status)
    stats = api.get(f"{EXECUTIONS}/stats?minutes=5").json()
    counted = {status: count for status, count in stats["by_status"].items() if count}
    assert counted == {"running": 2, "completed": 1, "failed": 1}
    (of_action,) = stats["by_action"]
    assert (of_action["action_ref"], of_action["active"], of_action["failed"]) == ("core.run", 2, 1)


def test_it_describes_every_endpoint(api: Client) -> None:
    paths = api.get("/api/v1/schema").json()["paths"]
    described = {path.rstrip("/") for path in paths}
    for path in ("", "/stream", "/stats", "/{id}", "/{id}/events", "/{id}/cancel"):
        assert EXECUTIONS + path in described
    assert {"/api/v1/packs", "/api/v1/actions", "/api/v1/auth/token"} <= described


def test_it_documents_every_code_of_an_error_and_no_other() -> None:
    with open("docs/api.md", encoding="utf-8") as file:
        told = file.read().partition("| code | when |")[2].partition("\n\n")[0]
    codes = re.findall(r"`(\w+)`(?=[^|]*\|[^|]*\|$)", told, re.MULTILINE)
    assert sorted(codes) == sorted(Code)
