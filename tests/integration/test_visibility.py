"""Who sees which packs."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from guardian.shortcuts import assign_perm

from executions.models import Pack
from executions.visibility import hidden_packs, rights_of

pytestmark = pytest.mark.django_db


def test_it_asks_for_the_permission_on_the_very_pack() -> None:
    vault = Pack.objects.create(ref="vault", restricted=True)
    safe = Pack.objects.create(ref="safe", restricted=True)
    Pack.objects.create(ref="open")
    group = Group.objects.create(name="keepers")
    chiefs = Group.objects.create(name="chiefs")
    view_pack = Permission.objects.get(codename="view_pack")
    chiefs.permissions.add(view_pack)
    users = {name: User.objects.create_user(name) for name in ("outsider", "mate", "keeper")}
    users["chief"] = User.objects.create_user("chief")
    users["holder"] = User.objects.create_user("holder")
    users["root"] = User.objects.create_superuser("root")
    assign_perm("executions.view_pack", users["mate"], vault)
    assign_perm("executions.view_pack", group, safe)
    assign_perm("executions.change_pack", users["outsider"], vault)
    users["keeper"].groups.add(group)
    users["chief"].groups.add(chiefs)
    users["holder"].user_permissions.add(view_pack)

    rights = rights_of([user.pk for user in users.values()])

    expected = {
        "outsider": {"vault", "safe"},
        "mate": {"safe"},
        "keeper": {"vault"},
        "chief": {"vault", "safe"},
        "holder": {"vault", "safe"},
        "root": set(),
    }
    for name, user in users.items():
        assert rights[user.pk].hidden_packs == expected[name], name
        assert hidden_packs(user) == expected[name], name
        assert rights[user.pk].active


def test_it_takes_everything_from_the_inactive_and_the_unknown() -> None:
    gone = User.objects.create_superuser("gone", is_active=False)
    Pack.objects.create(ref="vault", restricted=True)
    rights = rights_of([gone.pk, gone.pk + 1])
    for right in rights.values():
        assert not right.active
        assert right.hidden_packs == {"vault"}
