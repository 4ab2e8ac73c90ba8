"""The ways into the REST API, as DRF takes them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import User
from knox.models import AuthToken
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from attune.accounts import credentials, metrics, presented
from attune.accounts.origins import is_same_origin


class AccessTokens(presented.Bearer):
    """A JWT of `POST auth/token`."""

    def authenticate(self, request: Request) -> Any:
        token = presented.bearer_token(request._request)
        if token is None or presented.machine_token(token) is not None:
            return None
        with _counted():
            return super().authenticate(request)


class MachineTokens(BaseAuthentication):
    """A token of `manage.py createtoken`: kept as a hash, revoked in the admin."""

    def authenticate(self, request: Request) -> tuple[User, AuthToken] | None:
        with _counted():
            token = presented.bearer_token(request._request)
            shown = presented.machine_token(token) if token is not None else None
            if shown is None:
                return None
            found = AuthToken.objects.select_related("user").filter(digest=shown.digest).first()
            if found is None or not credentials.live([credentials.of_machine_token(found)]):
                raise AuthenticationFailed
            return found.user, found


@contextlib.contextmanager
def _counted() -> Iterator[None]:
    try:
        yield
    except AuthenticationFailed:
        metrics.FAILURES.labels("credential").inc()
        raise


class Sessions(SessionAuthentication):
    """The session of a page of ours; with a CSRF token where something is to change."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        return super().authenticate(request) if is_same_origin(request._request) else None
