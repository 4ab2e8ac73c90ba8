"""Who asks for a stream, and until when they may have it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework_simplejwt.authentication import JWTAuthentication

from executions.positions import MAX_BIGINT
from executions.visibility import Rights
from streaming.admission import Admission

MAX_JITTER_SECONDS = 30.0

_bearer = JWTAuthentication()
CHALLENGE = 'Bearer realm="api"'


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A valid access token; whether its user is there and active is still to be looked up."""

    user: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated user, for as long as the credential lasts."""

    user: int
    rights: Rights
    checked_at: float  # time.monotonic() before the rights were looked up
    expires_at: datetime

    def seconds_left(self, *, jitter: float) -> float:
        """Return how long a stream may last: a little less (`jitter`, 0 to 1) than the token.

        So that a thousand streams of one sign-in do not all come back in the same moment.
        """
        left = max(0.0, self.expires_at.timestamp() - time.time())
        return left - jitter * min(left * 0.02, MAX_JITTER_SECONDS)


def token_of(request: HttpRequest) -> AccessToken:
    """Return the token of a request.

    Raises AuthenticationFailed or NotAuthenticated: none, a broken, expired or refresh token.
    """
    # It only reads `request.META`, which Django's own request has too.
    header = _bearer.get_header(request)  # type: ignore[arg-type]
    raw = _bearer.get_raw_token(header) if header is not None else None
    if raw is None:
        raise NotAuthenticated
    token = _bearer.get_validated_token(raw)
    user = str(token.get("user_id", ""))
    if not (user.isascii() and user.isdigit() and int(user) <= MAX_BIGINT):
        raise AuthenticationFailed
    return AccessToken(int(user), datetime.fromtimestamp(token["exp"], UTC))


def viewer(token: AccessToken, admission: Admission) -> Viewer:
    """Return who asks; raises AuthenticationFailed for an unknown or inactive user."""
    if not admission.rights.active:
        raise AuthenticationFailed("User not found or inactive", code="user_inactive")
    return Viewer(token.user, admission.rights, admission.checked_at, token.expires_at)
