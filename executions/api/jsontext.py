"""JSON columns on their way out, as the text that PostgreSQL writes.

Any program may store what Python cannot read: whole numbers of over 4,300 digits, numbers
beyond a float, thousands of nested brackets. Unread, it is as exact as in a stream, and cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from django.db.models import Model, QuerySet, TextField
from django.db.models.functions import Cast
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

M = TypeVar("M", bound=Model)


def as_text(rows: QuerySet[M], *columns: str) -> QuerySet[M]:
    """Read these columns as `<column>_text` only, for a JSONTextField."""
    texts: Any = {f"{column}_text": Cast(column, TextField()) for column in columns}
    deferred: QuerySet[M] = rows.defer(*columns).annotate(**texts)
    return deferred


@extend_schema_field({"description": "Any JSON."})
class JSONTextField(serializers.Field[Any, Any, orjson.Fragment, Any]):
    """A column of rows that were read `as_text`."""

    def bind(self, field_name: str, parent: Any) -> None:
        self.source = f"{field_name}_text"
        super().bind(field_name, parent)

    def to_representation(self, value: str) -> orjson.Fragment:
        return orjson.Fragment(value)


class Renderer(JSONRenderer):
    """DRF's, which knows no JSON that is written already."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        return orjson.dumps(data, default=JSONEncoder().default, option=orjson.OPT_NON_STR_KEYS)
