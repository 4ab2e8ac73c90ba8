"""What a request for a stream shows of itself; the database is asked for many at a time."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import Token

from attune.accounts import credentials, tickets
from attune.accounts.credentials import Credential, Kind
from attune.accounts.origins import is_same_origin

MACHINE_PREFIX = "attune_"
_MACHINE_TOKEN = re.compile(rf"{MACHINE_PREFIX}[0-9a-f]{{64}}")
_SESSION_COOKIE = re.compile(r"[0-9a-z]{32}")
_MAX_BIGINT = 2**63 - 1
# A client that comes back shows the same token, and a signature that was good stays good: to
# check it anew is a seventh of what a stream costs to open. What can change is looked up.
TOKENS_KEPT = 10_000


class Bearer(JWTAuthentication):
    """simplejwt's, which trusts a token that our key has signed to name a user."""

    def get_validated_token(self, raw_token: bytes) -> Token:
        token = super().get_validated_token(raw_token)
        user = str(token.get(api_settings.USER_ID_CLAIM, ""))
        if not (user.isascii() and user.isdigit() and int(user) <= _MAX_BIGINT):
            raise AuthenticationFailed
        return token


_bearer = Bearer()


@dataclass(frozen=True, slots=True)
class MachineToken:
    digest: str


@dataclass(frozen=True, slots=True)
class SessionKey:
    key: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket, with what the cookie that it was exchanged for holds, where there is one."""

    digest: str
    exchanged: Credential | None


# An access token is a credential by itself.
Presented = Credential | MachineToken | SessionKey | Ticket


def present(request: HttpRequest) -> Presented:
    """Return what the request shows: a header before a ticket, a ticket before a session.

    Raises NotAuthenticated, and AuthenticationFailed for what is wrong already by its looks.
    """
    token = bearer_token(request)
    if token is not None:
        return machine_token(token) or access_token(token)
    if "ticket" in request.GET:
        return _ticket(request)
    session = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    if _SESSION_COOKIE.fullmatch(session) and is_same_origin(request):
        return SessionKey(session)
    raise NotAuthenticated


def bearer_token(request: HttpRequest) -> bytes | None:
    """Return the token of the header Authorization; raises AuthenticationFailed."""
    # simplejwt only reads `request.META`, which Django's own request has too.
    header = _bearer.get_header(request)  # type: ignore[arg-type]
    return _bearer.get_raw_token(header) if header is not None else None


def machine_token(token: bytes) -> MachineToken | None:
    """Return the machine token that this is, or None where it is of another kind."""
    text = token.decode("latin-1")
    if not text.startswith(MACHINE_PREFIX):
        return None
    if not _MACHINE_TOKEN.fullmatch(text):
        raise AuthenticationFailed
    return MachineToken(hash_token(text))


def access_token(token: bytes) -> Credential:
    """Return the credential that a valid access token is; raises AuthenticationFailed."""
    known = _validated(token)
    if known.expires_at is not None and known.expires_at > timezone.now():
        return known
    return _validated.__wrapped__(token)  # which says why not


@functools.lru_cache(maxsize=TOKENS_KEPT)
def _validated(token: bytes) -> Credential:
    return credentials.of_access_token(_bearer.get_validated_token(token))


def resolve(presented: Sequence[Presented]) -> list[Credential | None]:
    """Return, in the same order, what these stand for; whether it is `live` is another question."""
    taken = tickets.take({p.digest for p in presented if isinstance(p, Ticket)})
    machines = _machines({p.digest for p in presented if isinstance(p, MachineToken)})
    sessions = _sessions({p.key for p in presented if isinstance(p, SessionKey)})

    def credential(shown: Presented) -> Credential | None:
        match shown:
            case Ticket():
                return taken.pop(shown.digest, shown.exchanged)  # once, also within one call
            case MachineToken():
                return machines.get(shown.digest)
            case SessionKey():
                return sessions.get(shown.key)
            case Credential():
                return shown

    return [credential(shown) for shown in presented]


def _ticket(request: HttpRequest) -> Ticket:
    values = request.GET.getlist("ticket")
    if len(values) != 1 or not tickets.PATTERN.fullmatch(values[0]):
        raise AuthenticationFailed("No ticket, and nothing else is taken from a URL.")
    ticket = values[0]
    cookie = request.COOKIES.get(tickets.cookie_name(ticket), "")
    exchanged = tickets.unseal(cookie) if cookie and is_same_origin(request) else None
    return Ticket(tickets.digest_of(ticket), exchanged)


def _machines(digests: set[str]) -> dict[str, Credential]:
    if not digests:
        return {}
    found = AuthToken.objects.filter(digest__in=digests)
    return {token.digest: credentials.of_machine_token(token) for token in found}


def _sessions(keys: set[str]) -> dict[str, Credential]:
    if not keys:
        return {}
    found = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    credentials = {}
    for session in found:
        data = session.get_decoded()
        user = str(data.get(SESSION_KEY, ""))
        if user.isdigit():  # else nobody has signed in with it
            stamp = str(data.get(HASH_SESSION_KEY, ""))
            credentials[session.session_key] = Credential(
                int(user), Kind.SESSION, session.session_key, stamp, session.expire_date
            )
    return credentials
