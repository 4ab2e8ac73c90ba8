from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from django.db import connection, transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from attune import logs
from executions import eventlog, parameters, visibility
from executions.api import changes, history, listing, operations, stats
from executions.api.jsontext import as_text
from executions.api.parsers import Json
from executions.api.serializers import (
    ActionSerializer,
    CancelSerializer,
    ExecutionChangeSerializer,
    ExecutionSerializer,
    NewExecutionSerializer,
    PackSerializer,
)
from executions.filters import Filter
from executions.models import Action, Execution, Pack

CURSOR_HEADER = "X-Attune-Cursor"


# Comments and not docstrings, where OpenAPI would show them.


class StrictParameters(APIView):
    # Refuses query parameters that a request does not know, instead of leaving them out.

    known: ClassVar[Mapping[str, frozenset[str]]] = {}  # by action

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        logs.bind(user=request.user.pk)
        if str(kwargs.get("pk", "")).isdecimal():
            logs.bind(executions=[int(kwargs["pk"])])
        self.query = dict(request.query_params.lists())
        if action := getattr(self, "action", None):  # else the method is refused
            parameters.check_names(self.query, self.known.get(action, ()))


@extend_schema_view(
    list=operations.EXECUTIONS,
    retrieve=operations.EXECUTION,
    create=operations.CREATE,
    partial_update=operations.CHANGE,
    cancel=operations.CANCEL,
    events=operations.EVENTS,
    stats=operations.STATS,
)
class ExecutionViewSet(
    StrictParameters,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[Execution],
):
    serializer_class = ExecutionSerializer
    parser_classes = [Json]
    lookup_value_regex = "[1-9][0-9]{0,18}"
    ordering = "-id"
    known = {
        "list": listing.PARAMETERS,
        "stats": frozenset({*parameters.FILTERS, "minutes"}),
        "events": history.PARAMETERS,
    }

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "GET":
            # Before the rows: what changes in between is told twice by a stream from here,
            # and not left out.
            with connection.cursor() as cursor:
                self.headers[CURSOR_HEADER] = str(eventlog.state_now(cursor).position)

    def get_queryset(self) -> QuerySet[Execution]:
        return _written(visibility.visible_executions(visibility.signed_in(self.request.user)))

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = listing.parse(self.query)
        self.ordering = asked.ordering
        rows = listing.select(replace(asked, filter=self._hidden(asked.filter)))
        page = self.paginate_queryset(_written(rows))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def create(self, request: Request) -> Response:
        new = NewExecutionSerializer(data=request.data)
        new.is_valid(raise_exception=True)
        with transaction.atomic():
            made = changes.create(visibility.signed_in(request.user), **new.validated_data)
            return self._row(made, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        change = ExecutionChangeSerializer(data=request.data)
        change.is_valid(raise_exception=True)
        fields: dict[str, Any] = dict(change.validated_data)
        version = fields.pop("version", None)
        with transaction.atomic():
            changes.change(visibility.signed_in(request.user), int(pk), fields, version=version)
            return self._row(int(pk))

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        asked = CancelSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        with transaction.atomic():
            changes.cancel(visibility.signed_in(request.user), int(pk), **asked.validated_data)
            return self._row(int(pk))

    @action(detail=True)
    def events(self, request: Request, pk: str) -> Response:
        asked = history.parse(self.query)
        visible = visibility.visible_executions(visibility.signed_in(request.user))
        if not visible.filter(pk=pk).exists():
            raise NotFound
        filter = self._hidden(Filter(executions=frozenset({int(pk)})))
        return Response(history.page(asked, filter, url=request.build_absolute_uri()))

    @action(detail=False)
    def stats(self, request: Request) -> Response:
        minutes = parameters.integer(
            "minutes", self.query, low=1, high=stats.MAX_MINUTES, default=60
        )
        filter = self._hidden(parameters.parse_filter(self.query))
        return Response(stats.collect(filter, minutes=minutes))

    def _row(self, pk: int, **answer: Any) -> Response:
        """Return the row as the change of this transaction left it."""
        logs.bind(executions=[pk])
        row = _written(Execution.objects.all()).get(pk=pk)
        return Response(self.get_serializer(row).data, **answer)

    def _hidden(self, filter: Filter) -> Filter:
        """Return the filter with what may not be seen; an invisible root is an unknown one."""
        hidden = visibility.hidden_packs(visibility.signed_in(self.request.user))
        if not visibility.all_visible(filter.roots, visibility.refs_of(filter.roots), hidden):
            raise NotFound("root: no such execution")
        return filter.hiding(hidden)


def _written(rows: QuerySet[Execution]) -> QuerySet[Execution]:
    return as_text(rows, "config", "result")


@extend_schema_view(list=operations.PACKS)
class PackViewSet(StrictParameters, mixins.ListModelMixin, viewsets.GenericViewSet[Pack]):
    serializer_class = PackSerializer
    ordering = "ref"
    known = {"list": frozenset({"ref", *listing.PAGING})}

    def get_queryset(self) -> QuerySet[Pack]:
        packs = visibility.visible_packs(visibility.signed_in(self.request.user))
        packs = packs.defer("conf_schema", "config", "meta")
        refs = parameters.packs("ref", self.query)
        return packs.filter(ref__in=refs) if refs else packs


@extend_schema_view(list=operations.ACTIONS)
class ActionViewSet(StrictParameters, mixins.ListModelMixin, viewsets.GenericViewSet[Action]):
    serializer_class = ActionSerializer
    ordering = "ref"
    known = {"list": frozenset({"ref", "pack", *listing.PAGING})}

    def get_queryset(self) -> QuerySet[Action]:
        actions = visibility.visible_actions(visibility.signed_in(self.request.user))
        refs = parameters.texts("ref", self.query)
        packs = parameters.packs("pack", self.query)
        actions = as_text(actions, "param_schema", "out_schema")
        actions = actions.filter(ref__in=refs) if refs else actions
        return actions.filter(pack__ref__in=packs) if packs else actions


class Unknown(APIView):
    """Whatever else is below /api/v1: 404 in the words of the API."""

    authentication_classes = ()
    permission_classes = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound
