"""Who may see what: the one policy, for API, stream, page and admin.

An active user sees every execution, except those of restricted packs; there it takes the
permission `view_pack` on that very pack (not the model's, which lets staff into the admin), or a
superuser. An execution belongs to the pack that its `action_ref` names before the first dot,
whether or not that pack exists (any more).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from guardian.models import GroupObjectPermission, UserObjectPermission

from executions.models import Action, Execution, Pack


def signed_in(user: AbstractBaseUser | AnonymousUser) -> User:
    """Return the user of a request that got past the check of its credential."""
    assert isinstance(user, User), "this page or endpoint lets nobody in without signing in"
    return user


def hidden_packs(user: User) -> frozenset[str]:
    """Return the refs of the packs whose executions `user` may not see."""
    if user.is_superuser and user.is_active:
        return frozenset()
    return rights_of([user.pk])[user.pk].hidden_packs


@dataclass(frozen=True, slots=True)
class Rights:
    """What a user may do with streams: nothing at all when not active."""

    active: bool
    hidden_packs: frozenset[str]


def rights_of(users: Collection[int]) -> dict[int, Rights]:
    """Return the rights of many users by id, in a number of queries that does not grow."""
    restricted = dict(Pack.objects.filter(restricted=True).values_list("pk", "ref"))
    active = dict(
        User.objects.filter(pk__in=users, is_active=True).values_list("pk", "is_superuser")
    )
    allowed: dict[int, set[int]] = {user: set() for user in users}
    if restricted:
        view = Permission.objects.get(
            content_type=ContentType.objects.get_for_model(Pack), codename="view_pack"
        )
        for user, pack in _holders(view, users):
            allowed[user].add(int(pack))
    return {
        user: Rights(
            active=user in active,
            hidden_packs=frozenset()
            if active.get(user)
            else frozenset(ref for pk, ref in restricted.items() if pk not in allowed[user]),
        )
        for user in users
    }


def _holders(permission: Permission, users: Collection[int]) -> Iterable[tuple[int, str]]:
    """Return (user, pack) for the permissions on single packs."""
    own = UserObjectPermission.objects.filter(permission=permission, user__in=users)
    by_group = GroupObjectPermission.objects.filter(permission=permission, group__user__in=users)
    yield from own.values_list("user_id", "object_pk")
    yield from by_group.values_list("group__user", "object_pk")


def visible_packs(user: User) -> QuerySet[Pack]:
    return Pack.objects.exclude(ref__in=hidden_packs(user))


def visible_actions(user: User) -> QuerySet[Action]:
    hidden = hidden_packs(user)
    # By its name, too: that is what its executions will belong to.
    return Action.objects.exclude(pack__ref__in=hidden).exclude(_named_in("ref", hidden))


def visible_executions(user: User) -> QuerySet[Execution]:
    return Execution.objects.exclude(of_packs(hidden_packs(user)))


def refs_of(executions: Collection[int]) -> dict[int, str]:
    """Return the `action_ref` of those of these executions that exist."""
    if not executions:
        return {}
    return dict(Execution.objects.filter(pk__in=executions).values_list("pk", "action_ref"))


def all_visible(
    executions: Iterable[int], refs: Mapping[int, str], hidden: Collection[str]
) -> bool:
    """Say whether all of these exist (`refs` is of those that do) and may be seen."""
    return all(key in refs and pack_of(refs[key]) not in hidden for key in executions)


def pack_of(action_ref: str) -> str:
    return action_ref.partition(".")[0]


def of_packs(refs: Iterable[str]) -> Q:
    """Return the condition that a row with an `action_ref` belongs to one of these packs.

    An equality and a LIKE 'ref.%', which an index answers; split_part() would read all rows.
    """
    return _named_in("action_ref", refs)


def _named_in(column: str, refs: Iterable[str]) -> Q:
    condition = Q(pk__in=[])  # nothing, where there are no refs
    for ref in refs:
        condition |= Q(**{column: ref}) | Q(**{f"{column}__startswith": f"{ref}."})
    return condition
