"""Machine tokens in the admin."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from knox.models import AuthToken

pytestmark = pytest.mark.django_db

URL = "/admin/knox/authtoken/"


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def lists_executions(token: str) -> bool:
    answer = Client().get("/api/v1/executions", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code == 200


def test_it_shows_a_new_token_once_and_revokes_it_by_deleting_it(admin: Client) -> None:
    user = User.objects.create_user("robot")
    form = {"user": user.pk, "expiry_0": "2100-01-01", "expiry_1": "00:00"}
    added = admin.post(f"{URL}add/", form, follow=True)
    found = re.search(r"TOKEN (attune_[0-9a-f]{64})", added.content.decode())
    assert found is not None
    token = found[1]
    assert lists_executions(token)
    row = AuthToken.objects.get(user=user)
    for page in (URL, f"{URL}{row.pk}/change/"):
        shown = admin.get(page).content.decode()
        assert token not in shown and row.token_key in shown
    assert admin.post(f"{URL}{row.pk}/change/", form).status_code == 403
    assert admin.post(f"{URL}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not lists_executions(token)


def test_it_ends_with_its_user(admin: Client) -> None:
    user = User.objects.create_user("robot")
    _, token = AuthToken.objects.create(user=user)
    assert lists_executions(token)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert not lists_executions(token)
