"""Who asks for a stream, and what they may see. Runs in a thread: it uses the ORM."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework_simplejwt.authentication import JWTAuthentication

from executions import visibility
from executions.visibility import Rights

MAX_JITTER_SECONDS = 30.0


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


_bearer = JWTAuthentication()
CHALLENGE = 'Bearer realm="api"'


def authenticate(request: HttpRequest) -> Viewer:
    """Return who asks.

    Raises AuthenticationFailed or NotAuthenticated: no token, a broken, expired or refresh
    token, an unknown or inactive user.
    """
    began = time.monotonic()
    # It only reads `request.META`, which Django's own request has too.
    found = _bearer.authenticate(request)  # type: ignore[arg-type]
    if found is None:
        raise NotAuthenticated
    user, token = found
    if not isinstance(user, User):
        raise AuthenticationFailed
    return Viewer(
        user=user.pk,
        rights=visibility.rights_of([user.pk])[user.pk],
        checked_at=began,
        expires_at=datetime.fromtimestamp(token["exp"], UTC),
    )
