"""The HTTP side: the stream, and the probes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connections
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
from streaming.beginning import AlreadyEnded, TooManyToWatch, begin, start_at
from streaming.connection import SCOPE_KEY
from streaming.filters import FilterError, StreamRequest
from streaming.process import get_streaming
from streaming.replay import LogUnavailable
from streaming.stream import Stream

RETRY_AFTER_SECONDS = "2"
STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    # no-transform, identity: a proxy that compresses also buffers.
    "Cache-Control": "no-cache, no-transform",
    "Content-Encoding": "identity",
    "X-Accel-Buffering": "no",  # nginx
}


class StreamResponse(StreamingHttpResponse):
    """Hands its chunks on as they are; Django's own way is two more generators for each."""

    def __init__(self, chunks: AsyncIterator[bytes], *, headers: dict[str, str]) -> None:
        super().__init__(chunks, headers=headers)
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks


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
        return await _open(request)
    except Refused as refused:
        return refused.response
    except AlreadyEnded:
        return HttpResponse(status=204)  # which makes an EventSource stop
    except TooManyToWatch:
        detail = f"until: waits for at most {settings.ATTUNE.watched_executions} executions"
        return JsonResponse({"detail": detail}, status=400)
    except (DatabaseError, LogUnavailable):
        return _try_again("The log of executions cannot be read now; try again.")


async def _open(request: HttpRequest) -> HttpResponseBase:
    streaming = await get_streaming()
    hub = streaming.hub
    if hub.closing:
        return _try_again("This server is about to end; try again.")
    async with streaming.admissions:
        asked, viewer = await sync_to_async(_admit)(request)
    if not await health.has_worker(hub):
        return _try_again("No worker is running, so no event would come; try again.")
    cursor = request.headers.get("Last-Event-ID") or asked.last_event_id
    start = start_at(cursor, await hub.state(cursor=cursor))
    filter = asked.filter.hiding(viewer.rights.hidden_packs)
    beginning = await begin(hub, asked, filter, start)
    connection = request.scope[SCOPE_KEY]  # type: ignore[attr-defined]  # an ASGIRequest
    stream = Stream(hub, streaming.accesses, asked, beginning, viewer, connection)
    return StreamResponse(stream.chunks(), headers=STREAM_HEADERS)


def _try_again(detail: str) -> JsonResponse:
    return JsonResponse(
        {"detail": detail}, status=503, headers={"Retry-After": RETRY_AFTER_SECONDS}
    )


def _admit(request: HttpRequest) -> tuple[StreamRequest, Viewer]:
    """Check credential, parameters and visibility, in this order; raises Refused."""
    try:
        return _check(request)
    finally:
        # This thread's. Else a thousand streams that open at once hold a thousand connections,
        # and writers find none left.
        connections.close_all()


def _check(request: HttpRequest) -> tuple[StreamRequest, Viewer]:
    try:
        viewer = auth.authenticate(request)
    except (AuthenticationFailed, NotAuthenticated) as exc:
        raise Refused(401, _detail(exc), {"WWW-Authenticate": auth.CHALLENGE}) from exc
    try:
        asked = filters.parse(dict(request.GET.lists()))
    except FilterError as exc:
        raise Refused(400, str(exc)) from exc
    for name, executions in (
        ("execution_id", asked.filter.executions),
        ("root", asked.filter.roots),
    ):
        if not visibility.all_visible(executions, viewer.rights.hidden_packs):
            # The same answer for both, so that nobody learns which ids exist.
            raise Refused(404, f"{name}: no such execution")
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
