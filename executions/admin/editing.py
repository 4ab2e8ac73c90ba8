"""What packs and actions have in common in the admin: a ref, JSON, columns the database keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import JSONField, Model, QuerySet
from django.http import HttpRequest

from executions import visibility
from executions.admin.forms import JSONTextField
from executions.admin.listing import BoundedPaginator, PageChangeList

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = object


class RefAdminMixin(Base):
    formfield_overrides = {JSONField: {"form_class": JSONTextField}}
    paginator = BoundedPaginator
    search_fields = ("ref", "label")
    show_full_result_count = False
    # Executions and permissions hang on these texts: set once, shown afterwards.
    fixed_fields: ClassVar[tuple[str, ...]] = ("ref",)

    class Media:
        css = {"all": ("executions/admin.css",)}

    def visible_to(self, user: User) -> QuerySet[Any]:
        raise NotImplementedError

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Every pack or action that these pages show or offer comes through here.
        visible = self.visible_to(visibility.signed_in(request.user))
        return super().get_queryset(request) & visible

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PageChangeList]:
        return PageChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        # The autocomplete view, unlike the list, lets a NUL through; psycopg refuses it.
        return super().get_search_results(request, queryset, search_term.replace("\0", ""))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return () if obj is None else (*self.fixed_fields, "created", "updated")

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        # There is nothing to show in these before the database has written them.
        record = () if obj is None else (("Record", {"fields": ("created", "updated")}),)
        return (*fieldsets, *record)
