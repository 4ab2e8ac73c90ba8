from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from guardian.shortcuts import assign_perm
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from executions.models import Action, Execution, Pack

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password="secret")


@pytest.fixture
def action() -> Action:
    pack = Pack.objects.create(ref="core")
    return Action.objects.create(ref="core.run", pack=pack)


@pytest.fixture
def api(alice: User) -> Client:
    return client_of(alice)


def client_of(user: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"})


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(path, body, content_type="application/json")


def patch(client: Client, execution: Execution, **body: Any) -> Any:
    path = f"/api/v1/executions/{execution.pk}"
    return client.patch(path, body, content_type="application/json")


def execution_of(action: Action, **columns: Any) -> Execution:
    return Execution.objects.create(action=action, action_ref=action.ref, **columns)


def test_it_gives_tokens_and_refreshes_them(client: Client, alice: User) -> None:
    answer = post(client, "/api/v1/auth/token", username="alice", password="secret")
    assert set(answer.json()) == {"access", "refresh"}
    again = post(client, "/api/v1/auth/token/refresh", refresh=answer.json()["refresh"])
    assert again.json()["access"]
    wrong = post(client, "/api/v1/auth/token", username="alice", password="wrong")
    assert wrong.status_code == 401


@pytest.mark.parametrize(
    "path", ["/api/v1/executions", "/api/v1/packs", "/api/v1/actions", "/api/v1/executions/1"]
)
def test_it_asks_for_a_credential(client: Client, path: str) -> None:
    for suffix in ("", "/"):
        answer = client.get(path + suffix)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_it_refuses_every_token_that_is_not_a_live_access_token(
    client: Client, alice: User
) -> None:
    expired = AccessToken.for_user(alice)
    expired.set_exp(lifetime=-timedelta(seconds=1))
    for token in (str(expired), str(RefreshToken.for_user(alice)), "garbage", "a.b.c", ""):
        answer = client.get("/api/v1/executions", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, token
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_it_refuses_an_inactive_user(api: Client, alice: User) -> None:
    assert api.get("/api/v1/executions").status_code == 200
    alice.is_active = False
    alice.save()
    assert api.get("/api/v1/executions").status_code == 401


def test_it_lists_newest_first_in_pages(api: Client, action: Action) -> None:
    made = [execution_of(action).pk for _ in range(5)]
    answer = api.get("/api/v1/executions?page_size=2").json()
    assert [e["id"] for e in answer["results"]] == made[:-3:-1]
    older = api.get(answer["next"]).json()
    assert [e["id"] for e in older["results"]] == made[-3:-5:-1]
    assert set(answer) >= {"next", "previous", "results"}


def test_it_shows_one_execution_whole(api: Client, action: Action) -> None:
    execution = execution_of(action, result={"text": "x" * 100_000}, config={"a": 1})
    shown = api.get(f"/api/v1/executions/{execution.pk}").json()
    assert shown["result"] == {"text": "x" * 100_000}
    assert (shown["action_id"], shown["status"], shown["version"]) == (action.pk, "requested", 1)
    assert api.get(f"/api/v1/executions/{execution.pk}/").status_code == 200


@pytest.mark.parametrize("key", ["0", "-1", "x", "9" * 19, "9" * 40])
def test_it_answers_404_for_an_id_that_is_none(api: Client, key: str) -> None:
    assert api.get(f"/api/v1/executions/{key}").status_code == 404


def test_it_creates_an_execution(api: Client, alice: User, action: Action) -> None:
    answer = post(api, "/api/v1/executions", action_ref="core.run", config={"n": 1})
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert (made["status"], made["executor"], made["config"]) == ("requested", alice.pk, {"n": 1})
    child = post(api, "/api/v1/executions", action_ref="core.run", parent=made["id"])
    assert child.json()["parent"] == made["id"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "action_ref"),
        ({"action_ref": "core.unknown"}, "action_ref"),
        ({"action_ref": "core.run", "parent": 10**6}, "parent"),
        ({"action_ref": "core.run", "parent": 10**30}, "parent"),
        ({"action_ref": "core.run", "parent": "x"}, "parent"),
        ({"action_ref": "core.run", "status": "running"}, "status"),
        ({"action_ref": "core.run\0"}, "action_ref"),
        ({"action_ref": "core.run", "config": {"text": "\0"}}, "config"),
    ],
)
def test_it_names_what_is_wrong_with_a_new_execution(
    api: Client, action: Action, body: dict[str, Any], named: str
) -> None:
    answer = post(api, "/api/v1/executions", **body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert named in answer.json()["errors"]
    assert not Execution.objects.exists()


def test_it_changes_status_and_result(api: Client, action: Action) -> None:
    execution = execution_of(action)
    assert patch(api, execution, status="running").json()["version"] == 2
    done = patch(api, execution, status="completed", result={"ok": True}).json()
    assert (done["status"], done["result"], done["version"]) == ("completed", {"ok": True}, 3)
    assert done["started"] and done["finished"]


def test_it_refuses_an_unknown_status_and_lists_the_valid_ones(api: Client, action: Action) -> None:
    answer = patch(api, execution_of(action), status="nonsense")
    assert answer.status_code == 400
    assert "nonsense" in answer.json()["errors"]["status"][0]
    assert "requested, scheduling" in answer.json()["errors"]["status"][0]


@pytest.mark.parametrize("body", [{}, {"nonsense": 1}, {"status": None}, {"version": 1}])
def test_it_refuses_a_change_that_is_none(
    api: Client, action: Action, body: dict[str, Any]
) -> None:
    assert patch(api, execution_of(action), **body).status_code == 400


def test_it_refuses_an_illegal_step_and_says_what_is_allowed(api: Client, action: Action) -> None:
    requested = patch(api, execution_of(action), status="completed")
    assert requested.status_code == 409
    assert "requested" in requested.json()["detail"] and "running" in requested.json()["detail"]
    final = patch(api, execution_of(action, status="failed"), status="running")
    assert final.status_code == 409
    assert "final" in final.json()["detail"]


def test_it_changes_only_the_version_that_was_asked_for(api: Client, action: Action) -> None:
    execution = execution_of(action)
    assert patch(api, execution, status="running", version=7).status_code == 409
    assert patch(api, execution, status="running", version=1).status_code == 200


def test_it_hides_restricted_packs_from_outsiders(alice: User, action: Action) -> None:
    hidden = execution_of(action)
    Pack.objects.filter(ref="core").update(restricted=True)
    mate = User.objects.create_user("mate")
    assign_perm("executions.view_pack", mate, Pack.objects.get(ref="core"))
    root = User.objects.create_superuser("root")
    for user, sees in ((alice, False), (mate, True), (root, True)):
        api = client_of(user)
        listed = api.get("/api/v1/executions").json()["results"]
        assert bool(listed) is sees
        assert bool(api.get("/api/v1/packs").json()["results"]) is sees
        assert bool(api.get("/api/v1/actions").json()["results"]) is sees
        status = api.get(f"/api/v1/executions/{hidden.pk}").status_code
        assert status == (200 if sees else 404)
        assert patch(api, hidden, status="nonsense").status_code == 400
        assert patch(api, hidden, result=1).status_code == (200 if sees else 404)
        made = post(api, "/api/v1/executions", action_ref="core.run")
        assert made.status_code == (201 if sees else 400)
        Execution.objects.exclude(pk=hidden.pk).delete()


def test_it_stores_any_text_that_json_can_hold(api: Client, action: Action) -> None:
    text = 'é😀 \\u0000 \\\\ " \n \x01'
    made = post(api, "/api/v1/executions", action_ref="core.run", config={"text": text})
    assert made.status_code == 201
    assert made.json()["config"] == {"text": text}
    half = api.post(
        "/api/v1/executions",
        '{"action_ref": "core.run", "config": "\\ud800"}',
        content_type="application/json",
    )
    assert half.status_code == 400
