"""One-time tickets for EventSource, which can send no header.

A ticket goes into a URL, and URLs end up in logs: so it is good for one connect, within
seconds, and only its hash is kept. At that connect it is exchanged for a cookie, which lets
EventSource reconnect by itself: to the same URL, ticket included, which is no good any more
but says by its tag whose cookie to look for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Collection
from datetime import timedelta

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import salted_hmac

from attune.accounts.credentials import Credential
from attune.accounts.models import StreamTicket

PATTERN = re.compile(r"[0-9a-f]{16}\.[A-Za-z0-9_-]{43}")
TICKET_SECONDS = 30
COOKIE_SECONDS = 3600
COOKIE_PREFIX = "attune_stream_"
# More than are ever given out in one request, so that what has expired goes away.
_SWEEP = """
    DELETE FROM stream_ticket WHERE digest IN (
        SELECT digest FROM stream_ticket WHERE expires_at < now()
        LIMIT 100 FOR UPDATE SKIP LOCKED
    )
"""
# Locked in order, so that two that take some of the same tickets cannot wait for each other.
_TAKE = """
    DELETE FROM stream_ticket WHERE digest IN (
        SELECT digest FROM stream_ticket WHERE digest = ANY (%s) ORDER BY digest FOR UPDATE
    )
    RETURNING digest, credential::text, expires_at > now()
"""


def issue(credential: Credential) -> str:
    """Give out a ticket for the user of this credential; it is withdrawn with it."""
    ticket = f"{_tag(credential.user)}.{secrets.token_urlsafe(32)}"
    with connection.cursor() as cursor:
        cursor.execute(_SWEEP)
    StreamTicket.objects.create(
        digest=digest_of(ticket),
        credential=credential.as_json(),
        expires_at=timezone.now() + timedelta(seconds=TICKET_SECONDS),
    )
    return ticket


def take(digests: Collection[str]) -> dict[str, Credential]:
    """Return what these tickets stand for, and end them: of two who take one, one gets it."""
    if not digests:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [list(digests)])
        rows = cursor.fetchall()
    return {digest: Credential.from_json(json.loads(text)) for digest, text, good in rows if good}


def digest_of(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()


def cookie_name(ticket: str) -> str:
    """Return the name of the cookie that this ticket was exchanged for: one for each user."""
    return COOKIE_PREFIX + ticket.partition(".")[0]


def exchange(request: HttpRequest, response: HttpResponse, credential: Credential) -> None:
    """Set the cookie with which an EventSource gets back what its ticket got it."""
    response.set_cookie(
        COOKIE_PREFIX + _tag(credential.user),
        seal(credential),
        max_age=COOKIE_SECONDS,
        path=request.path.rstrip("/"),
        secure=request.is_secure(),
        httponly=True,
        samesite="Strict",
    )


def seal(credential: Credential) -> str:
    """Return the cookie's value: encrypted, because it may hold the key of a session."""
    return _fernet().encrypt(json.dumps(credential.as_json()).encode()).decode()


def unseal(value: str) -> Credential | None:
    try:
        data = json.loads(_fernet().decrypt(value.encode(), ttl=COOKIE_SECONDS))
    except InvalidToken:
        return None
    return Credential.from_json(data)


def _tag(user: int) -> str:
    return salted_hmac("attune.ticket", str(user), algorithm="sha256").hexdigest()[:16]


def _fernet() -> Fernet:
    key = hashlib.sha256(b"attune.ticket:" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
