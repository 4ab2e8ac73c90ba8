"""`GET schema` and `GET docs`: OpenAPI by drf-spectacular, and Swagger UI from local files."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.permissions import AllowAny
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from executions.errors import Code

Schema = dict[str, Any]

_JSON_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_MEANINGS = {
    400: "A wrong value, named in `errors`, or JSON that is none.",
    401: "No credential, or one that is not valid (any more).",
    403: "A session, but no `X-CSRFToken` with it.",
    404: "No such thing, or none that you may see: the same answer.",
    406: "Asked for something else than JSON.",
    408: "The body did not come in time.",
    409: "Not in this status, or not in this version; says what is now and what would be allowed.",
    413: "The body is too large.",
    414: "The URL is too large.",
    415: "The body is no JSON.",
    429: "Too many wrong passwords, or streams.",
    431: "The headers are too large.",
    503: "The database cannot answer now.",
}


@extend_schema(summary="This description", responses={200: {"type": "object"}}, auth=[])
class SchemaView(SpectacularAPIView):
    # Made once: it takes as long as a hundred requests. And by one at a time: of two that make the
    # first of a process, drf-spectacular lets one fail.

    renderer_classes = [OpenApiJsonRenderer2, OpenApiJsonRenderer]
    authentication_classes = ()

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with _making_schema:
            return Response(_schema())


_making_schema = threading.Lock()


@cache
def _schema() -> Any:
    generator: Any = SchemaGenerator
    return generator().get_schema(request=None, public=True)


class DocsView(APIView):
    # Nothing in it is secret, and a browser cannot send a token with a link.

    renderer_classes = [TemplateHTMLRenderer]
    authentication_classes = ()
    permission_classes = [AllowAny]

    @extend_schema(
        summary="This description, to read and to try",
        responses={(200, "text/html"): {"type": "string"}},
        auth=[],
    )
    def get(self, request: Request) -> Response:
        return Response(template_name="executions/docs.html")


def one_path_each(endpoints: list[Any], **_: Any) -> list[Any]:
    """Hook: the paths without the trailing slash that is taken, too."""
    return [(path.rstrip("/"), *rest) for path, *rest in endpoints]


def add_errors(result: Schema, **_: Any) -> Schema:
    """Hook: the error body, and which errors each operation may answer with."""
    for component in result["components"]["schemas"].values():
        for name, told in component.get("properties", {}).items():
            if told.get("oneOf", [None])[0] == {}:  # "anything, or null, but not both"
                component["properties"][name] = {"description": "Any JSON."}
    result["components"]["schemas"]["Error"] = ERROR
    for path, item in result["paths"].items():
        for method, operation in item.items():
            for status in _errors_of(path, method, operation):
                operation["responses"].setdefault(str(status), error_response(status))
    return result


def error_response(status: int, *, headers: Schema | None = None) -> Schema:
    response: Schema = {"description": _MEANINGS[status], "content": _JSON_ERROR}
    headers = dict(headers or {})
    if status in (429, 503):
        headers["Retry-After"] = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    return {**response, "headers": headers} if headers else response


def _errors_of(path: str, method: str, operation: Schema) -> list[int]:
    statuses = [400, 414, 431]
    if not path.endswith(("/schema", "/docs")):
        statuses += [401, 503]
    if path.endswith("/stream"):  # which looks at neither a body nor `Accept`
        return [*statuses, 404, 429]
    statuses += [406, 408, 413]
    if "requestBody" in operation:
        statuses.append(415)
    if path.endswith("/auth/token"):
        statuses.append(429)
    if "/executions" in path and ("{id}" in path or method == "get"):
        statuses.append(404)  # a list, too: for a root that is unknown
    if method != "get" and "security" in operation:
        statuses.append(403)
    if method != "get" and "{id}" in path:
        statuses.append(409)
    return statuses


ERROR: Schema = {
    "type": "object",
    "required": ["detail", "code"],
    "properties": {
        "detail": {"type": "string", "description": "For people."},
        "code": {"type": "string", "enum": [code.value for code in Code]},
        "errors": {
            "type": "object",
            "description": "With `invalid`: what is wrong, by field or parameter.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "status": {"type": "string", "description": "With `transition_not_allowed`: as it is."},
        "allowed": {
            "type": "array",
            "items": {"type": "string"},
            "description": "With `transition_not_allowed`: what may follow; nothing after an end.",
        },
        "version": {"type": "integer", "description": "With `version_conflict`: as it is."},
    },
}
