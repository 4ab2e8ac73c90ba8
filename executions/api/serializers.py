from __future__ import annotations

import json
import re
from typing import Any

from rest_framework import serializers

from executions.api.jsontext import JSONTextField
from executions.models import Action, Execution, Pack
from executions.status import STATUSES

# In JSON text: an escaped NUL (not an escaped backslash before "u0000"), or a lone surrogate.
_UNSTORABLE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000|[\ud800-\udfff]")


class PackSerializer(serializers.ModelSerializer[Pack]):
    class Meta:
        model = Pack
        fields = [
            *("id", "ref", "label", "description", "version", "tags"),
            *("is_standard", "restricted", "created", "updated"),
        ]


class ActionSerializer(serializers.ModelSerializer[Action]):
    param_schema = JSONTextField(read_only=True)
    out_schema = JSONTextField(read_only=True)

    class Meta:
        model = Action
        fields = [
            *("id", "ref", "pack", "pack_ref", "label", "description", "entrypoint"),
            *("param_schema", "out_schema", "created", "updated"),
        ]


class ExecutionSerializer(serializers.ModelSerializer[Execution]):
    """An execution as it is. Keys as in a stream's `data`, and the rest of the row."""

    action_id = serializers.IntegerField(read_only=True, allow_null=True)
    config = JSONTextField(read_only=True)
    result = JSONTextField(read_only=True)

    class Meta:
        model = Execution
        fields = [
            *("id", "action_id", "action_ref", "config", "parent", "enforcement", "executor"),
            *("status", "result", "version", "created", "updated", "started", "finished"),
        ]
        read_only_fields = fields


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know, instead of leaving them out without a word."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                {name: [f"Unknown field; known are: {known}."] for name in unknown}
            )
        return super().to_internal_value(data)


class StoredJSONField(serializers.JSONField):
    """JSON that PostgreSQL can store: jsonb holds neither NUL nor half a surrogate pair."""

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (ValueError, RecursionError) as exc:  # 1e400 is infinite in Python
            raise serializers.ValidationError("Cannot be stored: a number too large.") from exc
        if _UNSTORABLE.search(text):
            raise serializers.ValidationError("Cannot be stored: NUL or half a surrogate pair.")
        return value


class NewExecutionSerializer(StrictSerializer):
    """What a client sends to request an execution."""

    action_ref = serializers.CharField(max_length=255)
    config = StoredJSONField(required=False, allow_null=True)
    parent = serializers.IntegerField(  # type: ignore[assignment]  # a field, not an attribute
        required=False, allow_null=True, min_value=1
    )


class CancelSerializer(StrictSerializer):
    """What a client may send to cancel an execution; `version` makes it conditional."""

    version = serializers.IntegerField(required=False, min_value=1)


class ExecutionChangeSerializer(StrictSerializer):
    """What a client sends to change an execution; `version` makes it conditional."""

    status = serializers.ChoiceField(
        choices=STATUSES,
        required=False,
        error_messages={
            "invalid_choice": 'Unknown status "{input}". Valid are: ' + ", ".join(STATUSES) + "."
        },
    )
    result = StoredJSONField(required=False, allow_null=True)
    version = serializers.IntegerField(required=False, min_value=1)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "status" not in attrs and "result" not in attrs:
            raise serializers.ValidationError("Nothing to change: give status or result.")
        return attrs
