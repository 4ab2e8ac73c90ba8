"""What OpenAPI says of each operation beyond what the views and serializers say themselves."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from executions import parameters
from executions.api import history
from executions.api.listing import ORDERINGS, RANGES
from executions.api.pagination import MAX_PAGE_SIZE, PAGE_SIZE
from executions.api.serializers import (
    CancelSerializer,
    ExecutionChangeSerializer,
    ExecutionSerializer,
    NewExecutionSerializer,
)
from executions.api.shapes import EventsSerializer, StatsSerializer
from executions.api.stats import MAX_MINUTES
from executions.positions import MAX_BIGINT
from executions.status import STATUSES

Schema = dict[str, Any]


def filter_parameters() -> dict[str, tuple[Schema, str]]:
    """Return schema and meaning of each parameter that lists and streams have in common."""
    return {
        "execution_id": (_many(ID, parameters.MAX_EXECUTION_IDS), "These executions."),
        "status": (_many({"type": "string", "enum": list(STATUSES)}), "In one of these statuses."),
        "action_ref": (_many(REF), "Of these actions; `*` stands for any text."),
        "pack": (_many(PACK), "Of these packs: the text before the first dot of `action_ref`."),
        "parent": (_many(ID), "Children of these executions."),
        "root": (
            _many(ID),
            "These executions and all their descendants; 404 where one is unknown or invisible.",
        ),
    }


def _many(items: Schema, most: int = parameters.MAX_VALUES) -> Schema:
    return {"type": "array", "items": items, "maxItems": most}


ID: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_BIGINT}
REF: Schema = {"type": "string", "minLength": 1, "maxLength": parameters.MAX_VALUE_CHARACTERS}
PACK: Schema = {**REF, "pattern": "^[a-z][a-z0-9_-]*$"}


def _query(name: str, schema: Schema, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.QUERY, description=description)


_FILTERS = [_query(name, *told) for name, told in filter_parameters().items()]
_PAGE_SIZE = _query(
    "page_size",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE},
    "Rows of a page.",
)
_CURSOR = _query("cursor", {"type": "string"}, "A place in this list, from `next` or `previous`.")
_RANGES = [
    _query(
        name,
        {"type": "string", "format": "date-time"},
        "From this time on." if lookup.endswith("gte") else "Before this time.",
    )
    for name, lookup in RANGES.items()
]
_POSITION = OpenApiParameter(
    "X-Attune-Cursor",
    str,
    OpenApiParameter.HEADER,
    response=True,
    description="A position in the log from before the rows were read. A stream with this"
    " `last_event_id` brings everything since, and what happened meanwhile once more.",
)
_ROW = OpenApiResponse(ExecutionSerializer)

EXECUTIONS = extend_schema(
    summary="Executions, newest first",
    description="Values of one parameter (repeated, or with commas) are alternatives; different"
    " parameters all have to match.",
    parameters=[
        *_FILTERS,
        _query("executor", _many(ID), "Requested by these users."),
        *_RANGES,
        _query(
            "ordering",
            {"type": "string", "enum": list(ORDERINGS), "default": ORDERINGS[0]},
            "With a minus, the largest first; rows with the same time in the order of ids.",
        ),
        _PAGE_SIZE,
        _CURSOR,
        _POSITION,
    ],
)
EXECUTION = extend_schema(summary="One execution, with its whole result", parameters=[_POSITION])
CREATE = extend_schema(
    summary="Request a run",
    description="`config` has to fit the action's `param_schema`. An action or parent that you"
    " may not see is answered as one that does not exist.",
    request=NewExecutionSerializer,
    responses={201: _ROW},
)
CHANGE = extend_schema(
    summary="Set status or result",
    description="409 where the step is not allowed, and with `version` where that is not the"
    " current one. What has ended is final.",
    request=ExecutionChangeSerializer,
    responses={200: _ROW},
)
CANCEL = extend_schema(
    summary="Cancel",
    description="What nobody has begun with is `cancelled`; else it is `canceling`, and whoever"
    " runs it ends it. Asked again, it changes nothing; what has ended otherwise is 409.",
    request=CancelSerializer,
    responses={200: _ROW},
)
EVENTS = extend_schema(
    summary="History of an execution",
    description="From the log, in the words of the stream; as far as it is kept.",
    parameters=[
        _query("after", {"type": "integer", "minimum": 0, "default": 0}, "After this `seq`."),
        _query("before", {"type": "integer", "minimum": 0}, "Before this `seq`."),
        _query(
            "ordering",
            {"type": "string", "enum": list(history.ORDERINGS), "default": history.ORDERINGS[0]},
            "Oldest first; with a minus, newest first.",
        ),
        _PAGE_SIZE,
        _POSITION,
    ],
    responses={200: EventsSerializer},
    filters=False,
)
STATS = extend_schema(
    summary="What went on in the last minutes",
    description="Of the visible executions that match: those that are not over, and those that"
    " began or ended within the window.",
    parameters=[
        *_FILTERS,
        _query(
            "minutes",
            {"type": "integer", "minimum": 1, "maximum": MAX_MINUTES, "default": 60},
            "Length of the window; the last of its minutes is the current one.",
        ),
        _POSITION,
    ],
    responses={200: StatsSerializer},
)
PACKS = extend_schema(
    summary="Packs, by ref",
    parameters=[_query("ref", _many(PACK), "These packs."), _PAGE_SIZE, _CURSOR],
)
ACTIONS = extend_schema(
    summary="Actions, by ref",
    parameters=[
        _query("ref", _many(REF), "These actions."),
        _query("pack", _many(PACK), "Of these packs."),
        _PAGE_SIZE,
        _CURSOR,
    ],
)
