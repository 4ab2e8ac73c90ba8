"""Who may see what: the one policy, for API, stream, page and admin.

An active user sees every execution, except those of restricted packs; there it takes the
permission `view_pack` on the pack, or a superuser. An execution belongs to the pack that its
`action_ref` names before the first dot, whether or not that pack exists (any more).
"""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet
from guardian.shortcuts import get_objects_for_user

from executions.models import Action, Execution, Pack


def signed_in(user: AbstractBaseUser | AnonymousUser) -> User:
    """Return the user of a request that got past the check of its credential."""
    assert isinstance(user, User), "this page or endpoint lets nobody in without signing in"
    return user


def hidden_packs(user: User) -> frozenset[str]:
    """Return the refs of the packs whose executions `user` may not see."""
    if user.is_superuser:
        return frozenset()
    restricted = Pack.objects.filter(restricted=True)
    allowed = get_objects_for_user(user, "executions.view_pack", restricted, with_superuser=False)
    return frozenset(restricted.exclude(pk__in=allowed.values("pk")).values_list("ref", flat=True))


def visible_packs(user: User) -> QuerySet[Pack]:
    return Pack.objects.exclude(ref__in=hidden_packs(user))


def visible_actions(user: User) -> QuerySet[Action]:
    return Action.objects.exclude(pack__ref__in=hidden_packs(user))


def visible_executions(user: User) -> QuerySet[Execution]:
    return Execution.objects.exclude(of_packs(hidden_packs(user)))


def all_visible(executions: Iterable[int], hidden: frozenset[str]) -> bool:
    """Say whether all of these executions exist and none is of a hidden pack."""
    wanted = set(executions)
    found = Execution.objects.filter(pk__in=wanted).exclude(of_packs(hidden))
    return found.count() == len(wanted)


def of_packs(refs: Iterable[str]) -> Q:
    """Return the condition that a row with an `action_ref` belongs to one of these packs.

    An equality and a LIKE 'ref.%', which an index answers; split_part() would read all rows.
    """
    condition = Q(pk__in=[])  # nothing, where there are no refs
    for ref in refs:
        condition |= Q(action_ref=ref) | Q(action_ref__startswith=f"{ref}.")
    return condition
