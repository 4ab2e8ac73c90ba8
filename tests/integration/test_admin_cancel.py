"""Cancelling from the admin's list."""

from __future__ import annotations

import re
from collections.abc import Iterable

import psycopg
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client

from executions.database import conninfo
from executions.models import Execution, Pack
from tests.integration.test_admin import LIST, execution, sql, staff

pytestmark = pytest.mark.django_db


def ask_to_cancel(client: Client, rows: Iterable[Execution], **more: str) -> HttpResponse:
    """Choose rows in the list, as its form does; the list is filtered by status."""
    chosen = {"action": "cancel_selected", "_selected_action": [row.pk for row in rows], **more}
    return client.post(f"{LIST}?status=requested", chosen)


def test_it_cancels_what_is_selected_after_asking(admin_client: Client) -> None:
    statuses = ("requested", "running", "canceling", "completed")
    rows = [execution(status=status) for status in statuses]
    page = ask_to_cancel(admin_client, rows, index="0").content.decode()
    assert "Cancel executions?" in page and "has ended: stays as it is" in page
    asked = re.findall(r'name="_selected_action" value="(\d+)"', page)
    assert set(asked) == {str(row.pk) for row in rows[:3]}
    assert Execution.objects.filter(version=1).count() == 4
    # Meanwhile one begins, and so no longer matches the filter of the list.
    Execution.objects.filter(pk=rows[0].pk).update(status="running")
    gone = Execution(pk=10**12)
    answer = ask_to_cancel(admin_client, [*rows, gone], confirmed="Yes")
    assert answer.status_code == 302
    now = [Execution.objects.get(pk=row.pk).status for row in rows]
    assert now == ["canceling", "canceling", "canceling", "completed"]
    (message,) = get_messages(answer.wsgi_request)
    assert str(message) == "Cancel: 3 canceling, 1 had ended, 1 not found."
    assert LogEntry.objects.count() == 3


def test_it_lets_only_those_cancel_who_may(client: Client) -> None:
    row = execution()
    Pack.objects.create(ref="vault", restricted=True)
    hidden = execution("vault.open")
    client.force_login(user := staff("view_execution"))
    assert "cancel_selected" not in client.get(LIST).content.decode()
    ask_to_cancel(client, [row], confirmed="Yes")
    user.user_permissions.add(Permission.objects.get(codename="change_execution"))
    client.force_login(User.objects.get(pk=user.pk))
    assert "cancel_selected" in client.get(LIST).content.decode()
    assert row.status == "requested" == Execution.objects.get(pk=row.pk).status
    assert "vault" not in ask_to_cancel(client, [row, hidden], index="0").content.decode()
    ask_to_cancel(client, [row, hidden], confirmed="Yes")
    statuses = dict(Execution.objects.values_list("pk", "status"))
    assert statuses == {row.pk: "cancelled", hidden.pk: "requested"}


@pytest.mark.django_db(transaction=True)
def test_it_does_not_wait_for_every_lock(admin_client: Client) -> None:
    rows = [execution() for _ in range(3)]
    sql("SET statement_timeout = 200")  # ms; a web process has it set on every connection
    with psycopg.connect(conninfo(application="tests")) as other:
        other.execute("SELECT FROM attune.execution FOR UPDATE")
        answer = ask_to_cancel(admin_client, rows, confirmed="Yes")
        (message,) = get_messages(answer.wsgi_request)
        assert str(message) == "Cancel: 3 left alone: the database is busy."
    sql("RESET statement_timeout")
