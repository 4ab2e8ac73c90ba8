from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from executions.admin import formatting
from executions.admin.filters import ExecutionFilter, OpFilter, StatusFilter, parse_id
from executions.admin.readonly import ReadOnlyAdmin, execution_link
from executions.admin.related import status_step
from executions.models import ExecutionEvent


@admin.register(ExecutionEvent)
class ExecutionEventAdmin(ReadOnlyAdmin[ExecutionEvent]):
    large_columns = ("event",)
    ordering = ("-seq",)
    list_display = (
        "seq",
        "execution_number",
        "version",
        "op",
        "step",
        "recorded_at",
        "action_ref",
    )
    sortable_by = ("seq",)
    list_filter = (ExecutionFilter, OpFilter, StatusFilter)
    search_fields = ("execution",)
    search_help_text = "The id of an execution."
    fields = (
        "seq",
        "execution_number",
        "version",
        "op",
        "step",
        "action_ref",
        "parent_number",
        "recorded_at",
        "event_json",
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ExecutionEvent], search_term: str
    ) -> tuple[QuerySet[ExecutionEvent], bool]:
        if not search_term.strip():
            return queryset, False
        pk = parse_id(search_term)
        return (queryset.none() if pk is None else queryset.filter(execution=pk)), False

    @admin.display(description="execution")
    def execution_number(self, obj: ExecutionEvent) -> str:
        return execution_link(obj.execution_id)

    @admin.display(description="status")
    def step(self, obj: ExecutionEvent) -> SafeString:
        return status_step(obj)

    @admin.display(description="parent")
    def parent_number(self, obj: ExecutionEvent) -> str:
        return execution_link(obj.parent)

    @admin.display(description="recorded")
    def recorded_at(self, obj: ExecutionEvent) -> str:
        return formatting.moment(obj.recorded)

    @admin.display(description="event")
    def event_json(self, obj: ExecutionEvent) -> str:
        return formatting.json_block(obj.event)
