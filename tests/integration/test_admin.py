from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape
from guardian.shortcuts import assign_perm

from executions.admin.formatting import badge, indented, run_time
from executions.admin.listing import MAX_LISTED_ROWS
from executions.admin.related import MAX_CHILDREN, MAX_EVENTS
from executions.durations import duration
from executions.models import Action, Execution, ExecutionEvent, Pack
from executions.status import STATUSES

pytestmark = pytest.mark.django_db

LIST = "/admin/executions/execution/"
LOG = "/admin/executions/executionevent/"
PACKS = "/admin/executions/pack/"
ACTIONS = "/admin/executions/action/"
CORE = {"ref": "core", "label": "Core"}
ODD_TEXTS = ["9223372036854775808", "9" * 5000, "-1", "٣", "²", "a\0b", "\\", "%", "'", "1.5", ""]


@pytest.fixture
def action() -> Action:
    pack = Pack.objects.create(**CORE)
    return Action.objects.create(ref="core.deploy", pack=pack, label="Deploy")


def execution(ref: str = "core.deploy", **values: Any) -> Execution:
    return Execution.objects.create(action_ref=ref, **values)


def sql(statement: str, *values: int | str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def fill(number: int) -> None:
    """Add executions that have all that a list could follow; the first is their parent."""
    sql(
        "INSERT INTO attune.execution (action, action_ref, executor, parent, status)"
        " SELECT (SELECT min(id) FROM attune.action), 'core.deploy',"
        " (SELECT min(id) FROM auth_user), (SELECT min(id) FROM attune.execution), 'running'"
        " FROM generate_series(1, %s)",
        number,
    )


def sequence() -> None:
    sql("SELECT attune.sequence_v4(100000)")


def staff(*permissions: str) -> User:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    return user


def listed(client: Client, url: str = LIST, **query: Any) -> set[int]:
    response = client.get(url, query)
    assert response.status_code == 200
    return {row.pk for row in response.context["cl"].result_list}


def show(client: Client, row: Execution | ExecutionEvent) -> str:
    response = client.get(f"{LIST if isinstance(row, Execution) else LOG}{row.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def queries_of(get: Callable[[], object]) -> list[str]:
    get()  # once for what a process reads only once, such as the content types
    with CaptureQueriesContext(connection) as queries:
        get()
    return [query["sql"] for query in queries]


def form_errors(client: Client, url: str, data: dict[str, Any]) -> set[str]:
    response = client.post(f"{url}add/", data)
    assert response.status_code == 200
    return set(response.context["adminform"].form.errors)


def test_it_lists_ten_thousand_executions_with_as_few_queries_as_ten(
    admin_client: Client, action: Action, django_assert_max_num_queries: Any
) -> None:
    execution(action=action)
    fill(9)
    few = queries_of(lambda: listed(admin_client))
    fill(9_991)
    with django_assert_max_num_queries(6):
        assert len(listed(admin_client)) == 50
    many = queries_of(lambda: listed(admin_client))
    assert len(many) == len(few)
    assert not any('"execution"."result"' in sql for sql in few)
    assert not any("COUNT" in sql for sql in many)


def test_it_pages_without_counting(admin_client: Client) -> None:
    execution()
    fill(100)
    pages = [admin_client.get(LIST, {"p": page, "q": "core"}) for page in (1, 2, 3)]
    ids = [row.pk for page in pages for row in page.context["cl"].result_list]
    assert ids == sorted(Execution.objects.values_list("pk", flat=True), reverse=True)
    links = [re.findall(r'[?;]p=(\d+)[^"]*" rel="(\w+)"', p.content.decode()) for p in pages]
    assert links == [[("2", "next")], [("1", "prev"), ("3", "next")], [("2", "prev")]]


def test_it_says_where_its_list_ends(admin_client: Client) -> None:
    execution()
    fill(MAX_LISTED_ROWS)
    last = admin_client.get(LIST, {"p": MAX_LISTED_ROWS // 50}).content.decode()
    assert "There are more" in last and 'rel="next"' not in last
    beyond = admin_client.get(LIST, {"p": MAX_LISTED_ROWS // 50 + 1})
    assert beyond.headers["Location"].endswith("?e=1")


def test_it_links_to_the_live_page(admin_client: Client) -> None:
    row = execution()
    link = f'href="/executions/{row.pk}/"'
    assert link in show(admin_client, row) and link in admin_client.get(LIST).content.decode()


def test_it_filters_by_pack_up_to_the_first_dot(admin_client: Client) -> None:
    inside = {execution(ref).pk for ref in ("core.deploy", "core.a.b", "core")}
    for ref in ("core2.deploy", "corex", "Core.deploy"):
        execution(ref)
    assert listed(admin_client, pack="core") == inside
    assert listed(admin_client, pack="c_re") == listed(admin_client, pack="%") == set()


def test_it_filters_by_action_and_status_and_date(admin_client: Client) -> None:
    wanted = execution(status="running")
    filters = {"action_ref": execution(status="failed").action_ref, "status": "running"}
    execution("core.other", status="running")
    for since, found in ((-1, {wanted.pk}), (1, set())):
        created = datetime.now(UTC) + timedelta(days=since)
        assert listed(admin_client, **filters, created__gte=created) == found


def test_it_offers_the_actions_of_the_chosen_pack(admin_client: Client, action: Action) -> None:
    pack = Pack.objects.create(ref="net", label="Net")
    Action.objects.create(ref="net.run", pack=pack, label="Run")
    changelist = admin_client.get(LIST, {"pack": "net"}).context["cl"]
    specs = {spec.title: getattr(spec, "lookup_choices", ()) for spec in changelist.filter_specs}
    assert [value for value, _ in specs["status"]] == list(STATUSES)
    assert [value for value, _ in specs["pack"]] == ["core", "net"]
    assert [value for value, _ in specs["action"]] == ["net.run"]


def test_it_searches_by_id_and_by_ref(admin_client: Client, action: Action) -> None:
    first, second, ad_hoc = execution(), execution("net.x"), execution("corelib.y")
    assert listed(admin_client, q=str(second.pk)) == {second.pk}
    assert listed(admin_client, q=f" #{first.pk} ") == {first.pk}
    assert listed(admin_client, q="core") == {first.pk, ad_hoc.pk}
    assert listed(admin_client, q="DEPLOY") == {first.pk}
    assert listed(admin_client, q="co%") == set()
    queries = queries_of(lambda: listed(admin_client, q=str(first.pk)))
    assert any(f'WHERE "execution"."id" = {first.pk}' in sql for sql in queries)
    assert not any("LIKE" in sql for sql in queries)


@pytest.mark.parametrize("url", [LIST, LOG])
def test_it_survives_odd_input(admin_client: Client, url: str) -> None:
    execution()
    sequence()
    for text in ODD_TEXTS:  # a NUL Django itself reports, and does not search
        assert listed(admin_client, url, q=text) == set() or text in ("a\0b", "")
    keys = "status pack action_ref parent execution op created__gte created__year id__exact"
    for key in [*keys.split(), "status__exact", "action_ref__startswith", "p", "o", "none"]:
        for text in ODD_TEXTS:
            assert admin_client.get(url, {key: text}, follow=True).status_code == 200
    for pk in ("0", "-5", "nonsense", "9" * 30, "%00"):
        assert admin_client.get(f"{url}{pk}/change/").headers["Location"] == "/admin/"


def test_it_shows_children_and_events(admin_client: Client, action: Action) -> None:
    parent = execution(action=action, config={"deep": {"a": [1, "<b>"]}})
    child = execution(parent=parent)
    Execution.objects.filter(pk=parent.pk).update(status="running", result=[])
    sequence()
    page = show(admin_client, parent)
    assert escape('{\n    "a": [\n      1,\n      "<b>"') in page
    assert f"{badge('requested')} → {badge('running')}" in page
    assert " so far" in page
    for url in (f"{LIST}{child.pk}/change/", f"{LIST}?parent=", f"{LOG}?execution="):
        assert url in page
    assert f'"{LIST}{parent.pk}/change/"' in show(admin_client, child)


def test_it_bounds_children_and_events(admin_client: Client, action: Action) -> None:
    parent = execution(action=action)
    few = queries_of(lambda: show(admin_client, parent))
    fill(MAX_CHILDREN + 1)
    for number in range(MAX_EVENTS):
        Execution.objects.filter(pk=parent.pk).update(enforcement=number)
    sequence()
    assert len(queries_of(lambda: show(admin_client, parent))) == len(few) <= 12
    tables = admin_client.get(f"{LIST}{parent.pk}/change/").context["tables"]
    assert [(len(table.rows), table.is_cut) for table in tables] == [(50, True), (100, True)]
    assert parent.pk not in listed(admin_client, parent=parent.pk)
    assert len(listed(admin_client, LOG, execution=parent.pk)) == 50  # a page of them


def test_it_shows_large_and_deep_json(admin_client: Client) -> None:
    row = execution(result=["x" * 1000] * 1000)
    assert "of 1,004,000 characters" in show(admin_client, row)
    # json.loads() fails on this one.
    sql("UPDATE attune.execution SET result = %s::jsonb", "[" * 3000 + "]" * 3000)
    assert "[\n  [\n" in show(admin_client, row)


@pytest.mark.parametrize("url", [LIST, LOG])
def test_it_only_shows_executions_and_the_log(admin_client: Client, url: str) -> None:
    row = execution()
    sequence()
    pk = row.pk if url == LIST else ExecutionEvent.objects.get().pk
    for path in ("add/", f"{pk}/change/", f"{pk}/delete/"):
        assert admin_client.post(f"{url}{path}", {"status": "failed"}).status_code == 403
    admin_client.post(url, {"action": "delete_selected", "_selected_action": pk, "post": "yes"})
    row.refresh_from_db()
    assert (row.status, row.version, ExecutionEvent.objects.count()) == ("requested", 1, 1)


def test_it_finds_events_by_execution_operation_and_status(admin_client: Client) -> None:
    row, gone = execution(), execution()
    Execution.objects.filter(pk=row.pk).update(status="running")
    Execution.objects.filter(pk=gone.pk).delete()
    sequence()
    inserted, updated = ExecutionEvent.objects.filter(execution=row.pk)
    deleted = ExecutionEvent.objects.get(op="DELETE")
    for key in ("q", "execution"):
        assert listed(admin_client, LOG, **{key: row.pk}) == {inserted.pk, updated.pk}
    assert listed(admin_client, LOG, op="DELETE") == {deleted.pk}
    assert listed(admin_client, LOG, status="running") == {updated.pk}
    assert "&quot;entity_type&quot;: &quot;execution&quot;,\n" in show(admin_client, deleted)


def test_it_shows_staff_only_what_they_may_view(client: Client) -> None:
    row = execution()
    client.force_login(staff("view_execution"))
    assert listed(client) == {row.pk}
    assert "Children" in show(client, row) and "Events" not in show(client, row)
    for url in (LOG, PACKS, ACTIONS):
        assert client.get(url).status_code == 403


def test_it_writes_durations_and_json_for_people() -> None:
    spans = {-1: "0 ms", 0.35: "350 ms", 12.9: "12 s", 72: "1 m 12 s", 273_600: "3 d 4 h"}
    assert {s: duration(timedelta(seconds=s)) for s in spans} == spans
    noon = datetime(2026, 1, 19, 12, tzinfo=UTC)
    later = noon + timedelta(seconds=72)
    assert run_time("running", started=noon, finished=None, now=later) == "1 m 12 s so far"
    assert run_time("failed", started=noon, finished=later, now=noon) == "1 m 12 s"
    assert run_time("failed", started=None, finished=later, now=later) == "-"
    assert run_time("requested", started=noon, finished=None, now=later) == "-"
    data = {"a": [], "b": {"c": '"[,'}, "d": [{}, -1.5e-7]}
    assert indented(json.dumps(data)) == json.dumps(data, indent=2)


def test_it_creates_and_edits_a_pack(admin_client: Client) -> None:
    data = CORE | {"tags": "a,b", "meta": json.dumps("\\u0000")}
    assert admin_client.post(f"{PACKS}add/", data).status_code == 302
    pack = Pack.objects.get()
    assert (pack.tags, pack.meta, pack.conf_schema) == (["a", "b"], "\\u0000", {})
    url = f"{PACKS}{pack.pk}/change/"
    assert admin_client.get(url).status_code == 200
    edited = {"ref": "renamed", "label": "New", "restricted": "on", "config": "null"}
    assert admin_client.post(url, edited).status_code == 302
    pack = Pack.objects.get()
    assert (pack.ref, pack.label, pack.restricted, pack.config) == ("core", "New", True, {})
    assert pack.updated > pack.created


def test_it_creates_and_edits_an_action(admin_client: Client) -> None:
    pack = Pack.objects.create(**CORE)
    data = {"ref": "core.x", "pack": pack.pk, "label": "X", "param_schema": "{}"}
    assert admin_client.post(f"{ACTIONS}add/", data).status_code == 302
    action = Action.objects.get()
    assert (action.pack_ref, action.param_schema, action.out_schema) == ("core", {}, None)
    assert admin_client.get(f"{ACTIONS}{action.pk}/change/").status_code == 200
    assert admin_client.post(f"{ACTIONS}{action.pk}/change/", {"label": "Y"}).status_code == 302
    assert Action.objects.get().label == "Y"


def test_it_refuses_bad_refs_and_json(admin_client: Client, action: Action) -> None:
    for ref in ("", "Core", "1a", "a.b", "a b", "ä", "a\0", "a" * 256, "a\nb", "core"):
        assert form_errors(admin_client, PACKS, CORE | {"ref": ref}) == {"ref"}
    for ref in ("", "core", "core.", "net.x", "Core.x", "core.\0", "core.deploy"):
        data = {"ref": ref, "pack": action.pack_id, "label": "X"}
        assert form_errors(admin_client, ACTIONS, data) == {"ref"}
    deep, long = "[" * 100_000, "1" * 5000
    for text in ("{", "NaN", "1e999", '"\\u0000"', '"\\ud800"', deep, long, "\0"):
        data = {"ref": "net", "label": "N", "meta": text}
        assert form_errors(admin_client, PACKS, data) == {"meta"}


def test_it_grants_the_view_of_one_pack(admin_client: Client, action: Action) -> None:
    user = User.objects.create_user("reader")
    url = f"{PACKS}{action.pack_id}/permissions/"
    admin_client.post(f"{url}user-manage/{user.pk}/", {"permissions": ["view_pack"]})
    assert User.objects.get(pk=user.pk).has_perm("executions.view_pack", action.pack)


def test_it_asks_for_the_right_to_delete_a_packs_actions(client: Client, action: Action) -> None:
    row = execution(action=action)
    client.force_login(user := staff("view_pack", "delete_pack"))
    url = f"{PACKS}{action.pack_id}/delete/"
    assert client.post(url, {"post": "yes"}).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="delete_action"))
    assert client.post(url, {"post": "yes"}).status_code == 302
    row.refresh_from_db()
    assert (row.action, row.action_ref, Action.objects.count()) == (None, "core.deploy", 0)


def test_it_hides_restricted_packs_from_staff_who_may_not_see_them(client: Client) -> None:
    pack = Pack.objects.create(ref="vault", restricted=True)
    action = Action.objects.create(ref="vault.open", pack=pack)
    hidden = Execution.objects.create(action=action, action_ref="vault.open")
    shown = Execution.objects.create(action_ref="other.run")
    staff = User.objects.create_user("staff", is_staff=True)
    for permission in Permission.objects.filter(content_type__app_label="executions"):
        if permission.codename != "view_pack":
            staff.user_permissions.add(permission)
    other = Pack.objects.create(ref="other")
    astray = Action.objects.create(ref="vault.astray", pack=other)  # as SQL may put it
    assign_perm("executions.change_pack", staff, other)
    client.force_login(staff)
    listed = client.get("/admin/executions/execution/").content.decode()
    assert f"{shown.action_ref}" in listed
    assert "vault" not in listed
    assert client.get(f"/admin/executions/execution/{hidden.pk}/change/").status_code == 302
    assert "vault" not in client.get("/admin/executions/action/").content.decode()
    assert client.get(f"/admin/executions/action/{astray.pk}/change/").status_code == 302
    assign_perm("executions.view_pack", staff, pack)
    assert "vault.open" in client.get("/admin/executions/execution/").content.decode()
