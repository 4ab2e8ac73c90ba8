"""The list filters. Their choices are fixed or one bounded query, never a DISTINCT."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.db.models.lookups import Exact
from django.http import HttpRequest

from executions import visibility
from executions.admin.generics import ModelAdmin
from executions.positions import MAX_BIGINT
from executions.status import STATUSES

MAX_CHOICES = 50  # what has more is found by the search

# As the index `execution_pack` has it, which also gives the order.
PACK = Func(F("action_ref"), Value("."), Value(1), function="split_part", output_field=TextField())

Choices = list[tuple[str, str]]


def parse_id(text: str) -> int | None:
    """Return the id that `text` writes, or None where no row can have it."""
    digits = text.strip().removeprefix("#")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(MAX_BIGINT)):
        return None
    return int(digits) if int(digits) <= MAX_BIGINT else None


class _Fixed(admin.SimpleListFilter):
    """One column, compared with one of some fixed values."""

    values: ClassVar[Iterable[str]]
    parameter_name: str

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return [(value, value) for value in self.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        if value not in self.values:
            return queryset.none()
        return queryset.filter(**{self.parameter_name: value})


class StatusFilter(_Fixed):
    title = "status"
    parameter_name = "status"
    values = STATUSES


class OpFilter(_Fixed):
    title = "operation"
    parameter_name = "op"
    values = ("INSERT", "UPDATE", "DELETE")


class _ById(admin.SimpleListFilter):
    """Follows a link with an id in it; without one, it does not show."""

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        value = self.value()
        return [] if value is None else [(value, f"#{value.removeprefix('#')}")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        pk = parse_id(self.value() or "")
        return queryset.none() if pk is None else queryset.filter(**{str(self.parameter_name): pk})


class ParentFilter(_ById):
    title = "parent"
    parameter_name = "parent"


class ExecutionFilter(_ById):
    title = "execution"
    parameter_name = "execution"


class _ByRef(admin.SimpleListFilter):
    """Compares a ref. A chosen ref is always among the choices, also one that is gone."""

    def refs(self, request: HttpRequest) -> QuerySet[Any, str]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        refs = list(self.refs(request)[:MAX_CHOICES])
        chosen = self.value()
        if chosen is not None and chosen not in refs:
            refs.append(chosen)
        return [(ref, ref) for ref in refs]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        ref = self.value()
        if ref is None:
            return queryset
        # PostgreSQL holds no NUL, and psycopg refuses to ask for one.
        return queryset.none() if "\0" in ref else queryset.filter(self.condition(ref))

    def condition(self, ref: str) -> Q:
        raise NotImplementedError


class PackFilter(_ByRef):
    """By the text before the first dot of `action_ref`."""

    title = "pack"
    parameter_name = "pack"

    def refs(self, request: HttpRequest) -> QuerySet[Any, str]:
        packs = visibility.visible_packs(visibility.signed_in(request.user))
        return packs.order_by("ref").values_list("ref", flat=True)

    def condition(self, ref: str) -> Q:
        return Q(Exact(PACK, ref))


class ActionFilter(_ByRef):
    """The actions of the chosen pack; without one, the first of them all."""

    title = "action"
    parameter_name = "action_ref"

    def refs(self, request: HttpRequest) -> QuerySet[Any, str]:
        visible = visibility.visible_actions(visibility.signed_in(request.user))
        actions = visible.order_by("ref").values_list("ref", flat=True)
        pack = request.GET.get("pack", "").replace("\0", "")
        return actions.filter(pack__ref=pack) if pack else actions

    def condition(self, ref: str) -> Q:
        return Q(action_ref=ref)


class PackOfActionFilter(PackFilter):
    def condition(self, ref: str) -> Q:
        return Q(pack__ref=ref)
