"""The shape of answers that no model has, for OpenAPI."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from executions.status import STATUSES


class EventDataSerializer(serializers.Serializer[Any]):
    """The execution as the change left it."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=STATUSES)
    action_id = serializers.IntegerField(allow_null=True)
    action_ref = serializers.CharField()
    parent = serializers.IntegerField(allow_null=True)  # type: ignore[assignment]  # a field
    enforcement = serializers.IntegerField(allow_null=True)
    executor = serializers.IntegerField(allow_null=True)
    result = serializers.JSONField(allow_null=True)
    created = serializers.DateTimeField()
    updated = serializers.DateTimeField()
    started = serializers.DateTimeField(allow_null=True)
    finished = serializers.DateTimeField(allow_null=True)


class ExecutionEventSerializer(serializers.Serializer[Any]):
    """One committed change, as a stream sends it."""

    entity_type = serializers.ChoiceField(choices=["execution"])
    entity_id = serializers.IntegerField()
    timestamp = serializers.DateTimeField()
    seq = serializers.IntegerField(
        help_text="Number in the log: dense, and never given twice in one epoch."
    )
    version = serializers.IntegerField(help_text="The execution's own count of changes.")
    op = serializers.ChoiceField(choices=["INSERT", "UPDATE", "DELETE"])
    old_status = serializers.ChoiceField(choices=STATUSES, allow_null=True)
    old_action_ref = serializers.CharField(
        required=False, help_text="There where `action_ref` has changed: what it was."
    )
    old_parent = serializers.IntegerField(
        required=False,
        allow_null=True,
        help_text="There where `parent` has changed: what it was. What is below moved with it.",
    )
    truncated = serializers.BooleanField(
        required=False, help_text="There, and true, where `result` is too large for an event."
    )
    data = EventDataSerializer()  # type: ignore[assignment]  # a field, not the property


class EventsSerializer(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True, help_text="Always null.")
    results = ExecutionEventSerializer(many=True)


class ActionStatsSerializer(serializers.Serializer[Any]):
    action_ref = serializers.CharField()
    active = serializers.IntegerField(help_text="Not over.")
    created = serializers.IntegerField()
    finished = serializers.IntegerField(help_text="Ended in the window, whatever the status.")
    failed = serializers.IntegerField(help_text="Of these: failed, timeout or abandoned.")
    p50 = serializers.FloatField(allow_null=True, help_text="Seconds from started to finished.")
    p95 = serializers.FloatField(allow_null=True)


class MinuteSerializer(serializers.Serializer[Any]):
    minute = serializers.DateTimeField(help_text="Its beginning.")
    created = serializers.IntegerField()
    finished = serializers.IntegerField()
    failed = serializers.IntegerField()


class DurationsSerializer(serializers.Serializer[Any]):
    """Seconds from `started` to `finished`; null where nothing ended."""

    count = serializers.IntegerField()
    p50 = serializers.FloatField(allow_null=True)
    p90 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)
    p99 = serializers.FloatField(allow_null=True)
    max = serializers.FloatField(allow_null=True)


class StatsSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField(help_text="Beginning of the window, a full minute.")
    until = serializers.DateTimeField(help_text="Now.")
    by_status = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Every status: those that are not over now, and those that ended in the window.",
    )
    by_action = ActionStatsSerializer(many=True, help_text="The 50 with the most to tell.")
    per_minute = MinuteSerializer(many=True)
    durations = DurationsSerializer()
