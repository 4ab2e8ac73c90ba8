"""Every exception of a view as the one error body."""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import IntegrityError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.views import defaults
from rest_framework import exceptions
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from executions.errors import Code, body, body_of
from executions.parameters import ParameterError

logger = logging.getLogger("attune.api")

API_PREFIX = "/api/"
RETRY_AFTER_SECONDS = "2"


class TransitionNotAllowed(APIException):
    status_code = 409
    default_code = Code.TRANSITION_NOT_ALLOWED.value

    def __init__(self, status: str, allowed: tuple[str, ...]) -> None:
        follow = f"only {', '.join(allowed)} may follow" if allowed else "that is final"
        super().__init__(f'The status is "{status}"; {follow}.')
        self.more = {"status": status, "allowed": list(allowed)}


class VersionConflict(APIException):
    status_code = 409
    default_code = Code.VERSION_CONFLICT.value

    def __init__(self, version: int, given: int) -> None:
        super().__init__(f"The version is {version}, not {given}; fetch it anew.")
        self.more = {"version": version}


class TooLarge(APIException):
    status_code = 413
    default_code = Code.TOO_LARGE.value
    default_detail = "The body is too large."


class Unavailable(APIException):
    status_code = 503
    default_code = Code.UNAVAILABLE.value
    default_detail = "The database cannot answer now; try again."


def handle(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler; None lets Django make a 500 of it."""
    known = _known(exc)
    if known is None:
        return None
    set_rollback()
    request = context["request"]
    # Also where the answer would have been a page.
    request.accepted_renderer = JSONRenderer()
    request.accepted_media_type = JSONRenderer.media_type
    headers = {}
    if getattr(known, "auth_header", None):
        headers["WWW-Authenticate"] = str(known.auth_header)
    if getattr(known, "wait", None):
        headers["Retry-After"] = str(int(known.wait))
    if known.status_code == 503:
        logger.warning("action=request error=%r", " ".join(str(exc).split()))
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    return Response(body_of(known), status=known.status_code, headers=headers)


def _known(exc: Exception) -> Any:
    """Return the APIException that an exception stands for, or None."""
    match exc:
        case APIException():
            return exc
        case ParameterError():
            return exceptions.ValidationError({exc.name: [exc.reason]})
        case Http404():
            return exceptions.NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case RequestDataTooBig():
            return TooLarge()
        case SuspiciousOperation():
            return exceptions.ParseError()
        case OperationalError():  # away, no connection free, a lock or a statement took too long
            return Unavailable()
        case IntegrityError():  # a parent or an action that was deleted in between
            return Unavailable()
        case _:
            return None


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: JSON below /api/, else a page; 503 where the database is to blame."""
    exc = sys.exc_info()[1]
    if isinstance(exc, OperationalError):
        return _unavailable(request, exc)
    if not request.path_info.startswith(API_PREFIX):
        return defaults.server_error(request)
    return JsonResponse(body("An error of the server.", Code.ERROR), status=500)


def _unavailable(request: HttpRequest, exc: OperationalError) -> HttpResponse:
    logger.warning("action=request error=%r", " ".join(str(exc).split()))
    response: HttpResponse
    if request.path_info.startswith(API_PREFIX):
        response = JsonResponse(body_of(Unavailable()), status=503)
    else:
        response = HttpResponse(loader.get_template("503.html").render(), status=503)
    response["Retry-After"] = RETRY_AFTER_SECONDS
    response._has_been_logged = True  # type: ignore[attr-defined]  # in a line, not a traceback
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: the same for what is refused before a view is found."""
    if not request.path_info.startswith(API_PREFIX):
        return defaults.bad_request(request, exception)
    return JsonResponse(body("Malformed request.", Code.PARSE_ERROR), status=400)
