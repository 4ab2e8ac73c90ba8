"""The HTTP side: the stream, and the probes."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated

from executions import visibility
from streaming import auth, filters, health
from streaming.auth import Viewer
from streaming.filters import FilterError, StreamRequest
from streaming.process import get_hub
from streaming.replay import LogUnavailable
from streaming.stream import start_at, stream

RETRY_AFTER_SECONDS = "2"
STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    # no-transform, identity: a proxy that compresses also buffers.
    "Cache-Control": "no-cache, no-transform",
    "Content-Encoding": "identity",
    "X-Accel-Buffering": "no",  # nginx
}


class Refused(Exception):
    """The request gets no stream but this answer."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.response = JsonResponse({"detail": detail}, status=status, headers=headers)


@csrf_exempt  # nothing here changes anything; a POST is to be told so
async def executions_stream(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/v1/executions/stream`: filtered Server-Sent Events, as the contract says."""
    if request.method != "GET":
        return JsonResponse(
            {"detail": "A stream is read with GET."}, status=405, headers={"Allow": "GET"}
        )
    try:
        asked, viewer = await sync_to_async(_admit)(request)
        hub = await get_hub()
        cursor = request.headers.get("Last-Event-ID") or asked.last_event_id
        state = await hub.state(cursor=cursor)
    except Refused as refused:
        return refused.response
    except (DatabaseError, LogUnavailable):
        return JsonResponse(
            {"detail": "The log of executions cannot be read now; try again."},
            status=503,
            headers={"Retry-After": RETRY_AFTER_SECONDS},
        )
    return StreamingHttpResponse(
        stream(
            hub,
            asked.filter.hiding(viewer.hidden_packs),
            start_at(cursor, state),
            expires_at=viewer.expires_at,
        ),
        headers=STREAM_HEADERS,
    )


def _admit(request: HttpRequest) -> tuple[StreamRequest, Viewer]:
    """Check credential, parameters and visibility, in this order; raises Refused."""
    try:
        viewer = auth.authenticate(request)
    except (AuthenticationFailed, NotAuthenticated) as exc:
        raise Refused(401, _detail(exc), {"WWW-Authenticate": auth.CHALLENGE}) from exc
    try:
        asked = filters.parse(dict(request.GET.lists()))
    except FilterError as exc:
        raise Refused(400, str(exc)) from exc
    executions = asked.filter.executions
    if executions and not visibility.all_visible(executions, viewer.hidden_packs):
        # The same answer for both, so that nobody learns which ids exist.
        raise Refused(404, "execution_id: no such execution")
    return asked, viewer


def _detail(exc: AuthenticationFailed | NotAuthenticated) -> str:
    detail: Any = exc.detail
    return str(detail["detail"] if isinstance(detail, dict) else detail)


@require_GET
async def healthz(request: HttpRequest) -> HttpResponse:
    """Alive: the process answers."""
    return JsonResponse({"status": "ok"})


@require_GET
async def readyz(request: HttpRequest) -> HttpResponse:
    """Ready: database, channel layer and worker are there, each with its state."""
    report = await health.report()
    response = JsonResponse(report.as_json(), status=200 if report.ready else 503)
    # Django would log each 503 as an error of its own; the probe's caller knows by now.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


@require_GET
async def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)
