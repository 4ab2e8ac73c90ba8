"""What OpenAPI says of the stream, which is no view of DRF's."""

from __future__ import annotations

from typing import Any

from executions import parameters
from executions.status import STATUSES

Schema = dict[str, Any]

STREAM = "/api/v1/executions/stream"

_DESCRIPTION = """\
Server-Sent Events. `id:` is a position in the log; come back with it as `Last-Event-ID`.

| `event:` | `data:` | when |
|---|---|---|
| none | `ExecutionEvent` | an execution changed |
| `connected` | `StreamConnected` | first |
| `snapshot` | `StreamSnapshot` | asked for by `snapshot=true` |
| `reset` | `StreamReset` | what was missed cannot be told: fetch the state anew |
| `end` | `StreamEnd` | all that `until=terminal` waited for has ended; the stream is over |
| `close` | `StreamClose` | the server ends the stream |

`: heartbeat` comes after a time of quiet, with an `id:`.
"""
_EXAMPLE = """\
retry: 2000
id: 5f1c09ab-1042
event: connected
data: {"epoch":"5f1c09ab","seq":1042,"resumed":true,"heartbeat_seconds":15,"expires_at":"…"}

id: 5f1c09ab-1043
data: {"entity_type":"execution","entity_id":123,"timestamp":"…","seq":1043,"version":4,…}

id: 5f1c09ab-1050
: heartbeat
"""


def add_stream(result: Schema, **_: Any) -> Schema:
    """Hook: add the paths, and the frames as components."""
    listed = result["paths"]["/api/v1/executions"]["get"]["parameters"]
    filters = [told for told in listed if told["name"] in parameters.FILTERS]
    result["paths"][STREAM] = {"get": _stream(filters)}
    result["components"]["securitySchemes"]["ticket"] = _TICKET
    result["components"]["schemas"] |= FRAMES
    return result


def _stream(filters: list[Schema]) -> Schema:
    return {
        "operationId": "executions_stream",
        "summary": "Changes of executions, as they are committed",
        "description": _DESCRIPTION,
        "tags": ["executions"],
        "security": [{"jwtAuth": []}, {"machineToken": []}, {"session": []}, {"ticket": []}],
        "parameters": [*filters, *_PARAMETERS],
        "responses": {
            "200": {
                "description": "The stream.",
                "headers": {
                    "Cache-Control": _fixed("no-cache, no-transform"),
                    "X-Accel-Buffering": _fixed("no"),
                    "Content-Encoding": _fixed("identity"),
                },
                "content": {
                    # Of one frame: what a schema of a whole stream says, OpenAPI 3.1 leaves open.
                    "text/event-stream": {"schema": _ref("StreamFrame"), "example": _EXAMPLE}
                },
            },
            "204": {
                "description": "Everything `until=terminal` would wait for has ended, and the"
                " client knows."
            },
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _fixed(value: str) -> Schema:
    return {"schema": {"type": "string", "const": value}}


def _query(name: str, schema: Schema, description: str, *, place: str = "query") -> Schema:
    return {"name": name, "in": place, "schema": schema, "description": description}


_PARAMETERS = [
    _query("snapshot", {"type": "boolean", "default": False}, "The current state first."),
    _query(
        "until",
        {"type": "string", "enum": ["terminal"]},
        "End once all of them have ended; needs `execution_id` or `root`.",
    ),
    _query(
        "last_event_id",
        {"type": "string"},
        "A position; `earliest`: all that is kept; `now`: nothing before now.",
    ),
    _query("Last-Event-ID", {"type": "string"}, "The same, and wins.", place="header"),
]
_TICKET: Schema = {
    "type": "apiKey",
    "in": "query",
    "name": "ticket",
    "description": "Of `POST executions/stream/ticket`, good once.",
}


def _object(description: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": list(properties),
        "properties": properties,
    }


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _frame(event: str, data: str) -> Schema:
    """Describe the frames of this name, `message` where they have none; `data` is JSON."""
    content = {"contentMediaType": "application/json", "contentSchema": _ref(data)}
    properties = {"event": {"const": event}, "data": {"type": "string", **content}}
    return {"type": "object", "required": ["data"], "properties": properties}


_SEQ: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string"}
_YES_OR_NO: Schema = {"type": "boolean"}
_ENDED = _object("", id={"type": "integer"}, status=_one_of(*STATUSES))
FRAMES: Schema = {
    "StreamConnected": _object(
        "Where the stream begins.",
        epoch=_TEXT,
        seq=_SEQ,
        resumed=_YES_OR_NO,
        heartbeat_seconds={"type": "number"},
        expires_at={"type": ["string", "null"], "format": "date-time"},
    ),
    "StreamSnapshot": _object(
        "What matches now, newest first; not complete where there was more than it holds.",
        executions={"type": "array", "items": {"type": "object"}},
        complete=_YES_OR_NO,
    ),
    "StreamReset": _object(
        "The new position, and why the old one could not be gone on from.",
        reason=_one_of("unknown_cursor", "epoch_changed", "ahead_of_log", "history_gone"),
        epoch=_TEXT,
        seq=_SEQ,
    ),
    "StreamEnd": _object(
        "Everything that was waited for.", executions={"type": "array", "items": _ENDED}
    ),
    "StreamClose": _object(
        "Why the server ends the stream, and whether to come back.",
        reason=_one_of("token_expired", "revoked", "slow_consumer", "shutdown", "max_lifetime"),
        reconnect=_YES_OR_NO,
    ),
    "StreamFrame": {
        "description": "One frame of a stream; `message` is that without a name.",
        "oneOf": [
            _frame("message", "ExecutionEvent"),
            _frame("connected", "StreamConnected"),
            _frame("snapshot", "StreamSnapshot"),
            _frame("reset", "StreamReset"),
            _frame("end", "StreamEnd"),
            _frame("close", "StreamClose"),
        ],
    },
}
