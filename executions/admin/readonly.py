"""What the admin only shows: rows that programs write, in tables of any size."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from executions import visibility
from executions.admin.formatting import NOTHING
from executions.admin.generics import ModelAdmin
from executions.admin.listing import BoundedPaginator, PageChangeList

M = TypeVar("M", bound=Model)


class ReadOnlyAdmin(ModelAdmin[M]):
    """Of a model that has `action_ref`."""

    actions: Any = None
    list_per_page = 50
    paginator = BoundedPaginator
    show_facets = admin.ShowFacets.NEVER  # one COUNT over the whole table per choice
    show_full_result_count = False
    view_on_site = False
    # Columns of any size, read by themselves where they are shown.
    large_columns: ClassVar[tuple[str, ...]] = ()

    class Media:
        css = {"all": ("executions/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        # Every row that these pages show, in whatever place, comes through here.
        hidden = visibility.of_packs(visibility.hidden_packs(visibility.signed_in(request.user)))
        return super().get_queryset(request).exclude(hidden).defer(*self.large_columns)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PageChangeList]:
        return PageChangeList

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False


def execution_link(pk: int | None) -> str:
    """Return a link to an execution, which may have been deleted: the page then says so."""
    if pk is None:
        return NOTHING
    url = reverse("admin:executions_execution_change", args=[pk])
    return format_html('<a href="{}">#{}</a>', url, pk)


def live_link(pk: int, text: str) -> str:
    """Return a link to the page that shows the execution live."""
    return format_html('<a href="{}">{}</a>', reverse("execution", args=[pk]), text)


def list_url(model: str, **filters: str | int) -> str:
    return f"{reverse(f'admin:executions_{model}_changelist')}?{urlencode(filters)}"
