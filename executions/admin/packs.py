from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from guardian.admin import GuardedModelAdmin

from executions import visibility
from executions.admin.editing import RefAdminMixin
from executions.admin.forms import PackForm
from executions.admin.readonly import list_url
from executions.models import Action, Pack


@admin.register(Pack)
class PackAdmin(RefAdminMixin, GuardedModelAdmin):  # type: ignore[misc]  # guardian's types
    """With “Object permissions”, where `view_pack` of a restricted pack is given."""

    form = PackForm
    list_display = ("ref", "label", "version", "restricted", "is_standard", "executions")
    list_filter = ("restricted", "is_standard")
    fieldsets = (
        (None, {"fields": ("ref", "label", "description", "version", "tags")}),
        ("Access", {"fields": ("restricted", "is_standard")}),
        ("Data", {"fields": ("conf_schema", "config", "meta")}),
    )

    def visible_to(self, user: User) -> QuerySet[Pack]:
        return visibility.visible_packs(user)

    @admin.display(description="executions")
    def executions(self, obj: Pack) -> SafeString:
        return format_html('<a href="{}">show</a>', list_url("execution", pack=obj.ref))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the actions, too: the database deletes them, so Django does not know of it."""
        shown, counts, missing, protected = super().get_deleted_objects(objs, request)
        number = Action.objects.filter(pack__in=objs).count()
        if number:
            shown.append(f"Actions of these packs: {number}. Their executions stay.")
            counts["actions"] = number
            if not request.user.has_perm("executions.delete_action"):
                missing.add("action")
        return shown, counts, missing, protected
