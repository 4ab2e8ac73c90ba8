from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions import visibility
from executions.admin.editing import RefAdminMixin
from executions.admin.filters import PackOfActionFilter
from executions.admin.forms import ActionForm
from executions.admin.generics import ModelAdmin
from executions.admin.readonly import list_url
from executions.models import Action


@admin.register(Action)
class ActionAdmin(RefAdminMixin, ModelAdmin[Action]):
    form = ActionForm
    autocomplete_fields = ("pack",)
    fixed_fields = ("ref", "pack")
    list_display = ("ref", "label", "entrypoint", "executions")
    list_filter = (PackOfActionFilter,)
    fieldsets = (
        (None, {"fields": ("pack", "ref", "label", "description", "entrypoint")}),
        ("Schemas", {"fields": ("param_schema", "out_schema")}),
    )

    def visible_to(self, user: User) -> QuerySet[Action]:
        return visibility.visible_actions(user)

    @admin.display(description="executions")
    def executions(self, obj: Action) -> SafeString:
        return format_html('<a href="{}">show</a>', list_url("execution", action_ref=obj.ref))
