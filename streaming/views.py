"""The HTTP side of a stream: who gets one, and what is answered to the others."""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
)
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, ValidationError

from attune import logs
from attune.accounts import metrics as account_metrics
from attune.accounts import tickets
from attune.accounts.addresses import client_address
from attune.accounts.presented import present
from executions import errors
from executions.errors import Code
from executions.filters import Filter
from executions.parameters import ParameterError
from streaming import auth, filters, health, metrics
from streaming.access import STALE_SECONDS, renewed
from streaming.admission import Admissions
from streaming.auth import Viewer
from streaming.beginning import AlreadyEnded, Beginning, Start, TooManyToWatch, begin, start_at
from streaming.connection import SCOPE_KEY
from streaming.filters import StreamRequest
from streaming.handler import HELD_KEY, StreamResponse
from streaming.hub import Hub
from streaming.process import get_streaming
from streaming.replay import LogUnavailable
from streaming.slots import Slots, TooManyStreams
from streaming.stream import Stream

RETRY_AFTER_SECONDS = "2"
TOO_MANY_RETRY_SECONDS = "10"
STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    # no-transform, identity: a proxy that compresses also buffers.
    "Cache-Control": "no-cache, no-transform",
    "Content-Encoding": "identity",
    "X-Accel-Buffering": "no",  # nginx
}


class Refused(Exception):
    """The request gets no stream but this answer."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(body["detail"])
        self.response = JsonResponse(body, status=status, headers=headers)


@csrf_exempt  # nothing here changes anything; a POST is to be told so
async def executions_stream(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/v1/executions/stream`: filtered Server-Sent Events, as the contract says."""
    if request.method != "GET":
        return JsonResponse(
            errors.body("A stream is read with GET.", Code.METHOD_NOT_ALLOWED),
            status=405,
            headers={"Allow": "GET"},
        )
    try:
        return await _open(request)
    except AlreadyEnded:
        return HttpResponse(status=204)  # which makes an EventSource stop
    except Refused as refused:
        response = refused.response
    except TooManyToWatch:
        detail = f"waits for at most {settings.ATTUNE.watched_executions} executions"
        response = JsonResponse(errors.body_of(ValidationError({"until": detail})), status=400)
    except (DatabaseError, LogUnavailable):
        response = _try_again("The log of executions cannot be read now; try again.").response
    metrics.REFUSED.labels(str(response.status_code)).inc()
    return response


async def _open(request: HttpRequest) -> HttpResponseBase:
    streaming = await get_streaming()
    hub = streaming.hub
    if hub.closing:
        raise _try_again("This server is about to end; try again.")
    asked, viewer = await _admit(request, streaming.admissions)
    await _take_slot(request, streaming.slots, viewer)
    if not await health.has_worker(hub):
        raise _try_again("No worker is running, so no event would come; try again.")
    cursor = request.headers.get("Last-Event-ID") or asked.last_event_id
    start = start_at(cursor, await hub.state(cursor=cursor))
    if start.resumed:
        metrics.REPLAY.observe(max(0, hub.position.seq - start.position.seq))
    beginning, viewer = await _begin(hub, asked, start, viewer)
    connection = request.scope[SCOPE_KEY]  # type: ignore[attr-defined]  # an ASGIRequest
    logs.bind(
        stream=uuid.uuid4().hex[:12],
        user=viewer.credential.user,
        executions=sorted(asked.filter.executions | asked.filter.roots)[: logs.MOST_EXECUTIONS],
    )
    stream = Stream(hub, streaming.accesses, asked, beginning, viewer, connection)
    response = StreamResponse(stream, headers=STREAM_HEADERS)
    if "ticket" in request.GET:
        tickets.exchange(request, response, viewer.credential)
    return response


async def _begin(
    hub: Hub, asked: StreamRequest, start: Start, viewer: Viewer
) -> tuple[Beginning, Viewer]:
    """Read what the stream begins with, by rights that are not too old when it has been read."""
    for _ in range(2):
        beginning = await begin(hub, asked, asked.filter.hiding(viewer.rights.hidden_packs), start)
        if time.monotonic() < viewer.checked_at + STALE_SECONDS:
            return beginning, viewer
        known, viewer = viewer.rights, await renewed(viewer)
        if not viewer.rights.active:
            raise _unauthorized(AuthenticationFailed("Unknown, used, expired or withdrawn."))
        if viewer.rights.hidden_packs == known.hidden_packs:
            return beginning, viewer
    raise _try_again("What you may see is changing; try again.")


def _try_again(detail: str) -> Refused:
    retry = {"Retry-After": RETRY_AFTER_SECONDS}
    return Refused(503, errors.body(detail, Code.UNAVAILABLE), retry)


async def _take_slot(request: HttpRequest, slots: Slots, viewer: Viewer) -> None:
    """Count this stream for as long as the request lasts; raises Refused."""
    try:
        slot = await slots.acquire(viewer.credential.user, client_address(request.META))
    except TooManyStreams as exc:
        retry = {"Retry-After": TOO_MANY_RETRY_SECONDS}
        raise Refused(429, errors.body(str(exc), Code.THROTTLED), retry) from exc
    held: ExitStack = request.scope[HELD_KEY]  # type: ignore[attr-defined]  # an ASGIRequest
    held.callback(slots.release, slot)


async def _admit(request: HttpRequest, admissions: Admissions) -> tuple[StreamRequest, Viewer]:
    """Check credential, parameters and visibility, in this order; raises Refused."""
    asked, wrong = StreamRequest(Filter()), None
    try:
        query = {name: values for name, values in request.GET.lists() if name != "ticket"}
        asked = filters.parse(query)
    except ParameterError as exc:
        wrong = ValidationError({exc.name: exc.reason})
    named = asked.filter.executions | asked.filter.roots
    try:
        admission = await admissions.look_up(present(request), named)
        viewer = auth.viewer(admission)
    except (AuthenticationFailed, NotAuthenticated) as exc:
        raise _unauthorized(exc) from exc
    if wrong is not None:
        raise Refused(400, errors.body_of(wrong))
    if not admission.all_visible:
        # The same answer for both, so that nobody learns which ids exist.
        name = "execution_id" if asked.filter.executions else "root"
        raise Refused(404, errors.body(f"{name}: no such execution", Code.NOT_FOUND))
    return asked, viewer


def _unauthorized(exc: AuthenticationFailed | NotAuthenticated) -> Refused:
    if isinstance(exc, AuthenticationFailed):
        account_metrics.FAILURES.labels("credential").inc()
    return Refused(401, errors.body_of(exc), {"WWW-Authenticate": auth.CHALLENGE})
