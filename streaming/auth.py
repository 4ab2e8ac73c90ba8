"""Who asks for a stream, and what they may see. Runs in a thread: it uses the ORM."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework_simplejwt.authentication import JWTAuthentication

from executions import visibility


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated user, for as long as the credential lasts."""

    user: User
    expires_at: datetime
    hidden_packs: frozenset[str]


_bearer = JWTAuthentication()
CHALLENGE = 'Bearer realm="api"'


def authenticate(request: HttpRequest) -> Viewer:
    """Return who asks.

    Raises AuthenticationFailed or NotAuthenticated: no token, a broken, expired or refresh
    token, an unknown or inactive user.
    """
    # It only reads `request.META`, which Django's own request has too.
    found = _bearer.authenticate(request)  # type: ignore[arg-type]
    if found is None:
        raise NotAuthenticated
    user, token = found
    if not isinstance(user, User):
        raise AuthenticationFailed
    return Viewer(
        user=user,
        expires_at=datetime.fromtimestamp(token["exp"], UTC),
        hidden_packs=visibility.hidden_packs(user),
    )
