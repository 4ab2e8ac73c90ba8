from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import mixins, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from executions import visibility
from executions.api import changes
from executions.api.serializers import (
    ActionSerializer,
    ExecutionChangeSerializer,
    ExecutionSerializer,
    NewExecutionSerializer,
    PackSerializer,
)
from executions.models import Action, Execution, Pack


class ExecutionViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Execution]
):
    serializer_class = ExecutionSerializer
    lookup_value_regex = "[1-9][0-9]{0,18}"

    def get_queryset(self) -> QuerySet[Execution]:
        return visibility.visible_executions(visibility.signed_in(self.request.user))

    def create(self, request: Request) -> Response:
        new = NewExecutionSerializer(data=request.data)
        new.is_valid(raise_exception=True)
        execution = changes.create(visibility.signed_in(request.user), **new.validated_data)
        return Response(self.get_serializer(execution).data, status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, pk: str) -> Response:
        change = ExecutionChangeSerializer(data=request.data)
        change.is_valid(raise_exception=True)
        fields: dict[str, Any] = dict(change.validated_data)
        version = fields.pop("version", None)
        execution = changes.change(
            visibility.signed_in(request.user), int(pk), fields, version=version
        )
        return Response(self.get_serializer(execution).data)


class PackViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Pack]):
    serializer_class = PackSerializer

    def get_queryset(self) -> QuerySet[Pack]:
        return visibility.visible_packs(visibility.signed_in(self.request.user))


class ActionViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Action]):
    serializer_class = ActionSerializer

    def get_queryset(self) -> QuerySet[Action]:
        return visibility.visible_actions(visibility.signed_in(self.request.user))
