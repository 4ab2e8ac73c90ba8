from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast, Left, Length
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions import visibility
from executions.admin import formatting, related
from executions.admin.cancelling import cancel_selected, may_cancel
from executions.admin.filters import (
    ActionFilter,
    PackFilter,
    ParentFilter,
    StatusFilter,
    parse_id,
)
from executions.admin.readonly import ReadOnlyAdmin, execution_link, live_link
from executions.models import Execution, ExecutionEvent

# A search that matches more actions than these finds the executions of the first ones only.
MAX_SEARCHED_ACTIONS = 1_000


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyAdmin[Execution]):
    actions = (cancel_selected,)
    large_columns = ("config", "result")
    list_display = (
        "id",
        "status_badge",
        "action_ref",
        "created_at",
        "run_time",
        "executor",
        "parent_link",
        "live",
    )
    sortable_by = ("id", "created_at")  # only what an index sorts
    list_filter = (ParentFilter, StatusFilter, "created", PackFilter, ActionFilter)
    list_select_related = ("executor",)
    search_fields = ("action_ref",)
    search_help_text = "An id, how an action’s ref begins, or any part of a known action’s ref."
    fieldsets = (
        (None, {"fields": ("status_badge", "action_link", "parent_link", "executor")}),
        (
            f"Times ({settings.TIME_ZONE})",
            {"fields": ("created_at", "started_at", "finished_at", "run_time")},
        ),
        ("Data", {"fields": ("config_json", "result_json")}),
        ("Record", {"fields": ("enforcement", "version", "updated_at")}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Execution], search_term: str
    ) -> tuple[QuerySet[Execution], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.removeprefix("#").isdecimal():
            pk = parse_id(term)
            return (queryset.none() if pk is None else queryset.filter(pk=pk)), False
        # "Contains" is asked of the actions, which are few; the executions are asked only
        # what an index answers.
        actions = visibility.visible_actions(visibility.signed_in(request.user))
        known = actions.filter(ref__icontains=term).values_list("ref", flat=True)
        by_ref = Q(action_ref__in=list(known[:MAX_SEARCHED_ACTIONS])) | Q(
            action_ref__startswith=term
        )
        return queryset.filter(by_ref), False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        execution: Execution = context["original"]
        visible = self.get_queryset(request)
        tables = [related.children(visible, execution, now=timezone.now())]
        log = self.admin_site.get_model_admin(ExecutionEvent)
        if log.has_view_permission(request):
            tables.append(related.events(log.get_queryset(request), execution))
        context["tables"] = tables
        context["live_link"] = live_link(execution.pk, "Live page")
        return super().render_change_form(request, context, *args, **kwargs)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return may_cancel(request)

    @admin.display(description="live")
    def live(self, obj: Execution) -> str:
        return live_link(obj.pk, "watch")

    @admin.display(description="status")
    def status_badge(self, obj: Execution) -> SafeString:
        return formatting.badge(obj.status)

    @admin.display(description="action")
    def action_link(self, obj: Execution) -> str:
        if obj.action_id is None:
            return obj.action_ref
        url = reverse("admin:executions_action_change", args=[obj.action_id])
        return format_html('<a href="{}">{}</a>', url, obj.action_ref)

    @admin.display(description="parent")
    def parent_link(self, obj: Execution) -> str:
        return execution_link(obj.parent_id)

    @admin.display(description="created", ordering="created")
    def created_at(self, obj: Execution) -> str:
        return formatting.moment(obj.created)

    @admin.display(description="started")
    def started_at(self, obj: Execution) -> str:
        return formatting.moment(obj.started)

    @admin.display(description="finished")
    def finished_at(self, obj: Execution) -> str:
        return formatting.moment(obj.finished)

    @admin.display(description="updated")
    def updated_at(self, obj: Execution) -> str:
        return formatting.moment(obj.updated)

    @admin.display(description="run time")
    def run_time(self, obj: Execution) -> str:
        return formatting.run_time(
            obj.status, started=obj.started, finished=obj.finished, now=timezone.now()
        )

    @admin.display(description="config")
    def config_json(self, obj: Execution) -> str:
        return _stored_json(obj, "config")

    @admin.display(description="result")
    def result_json(self, obj: Execution) -> str:
        return _stored_json(obj, "result")


def _stored_json(obj: Execution, column: str) -> str:
    """Read as much of a column as is shown, as text: the whole may be any size and depth."""
    text = Cast(column, TextField())
    start, chars = (
        Execution.objects.filter(pk=obj.pk)
        .values_list(Left(text, formatting.JSON_MAX_CHARS), Length(text))
        .first()
    ) or (None, None)  # deleted since
    return formatting.json_block(start, chars=chars)
