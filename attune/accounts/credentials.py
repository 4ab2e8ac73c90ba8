"""By what a user was let in, and whether that is still good."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.request import Request
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import Token
from rest_framework_simplejwt.utils import get_md5_hash_password


class Kind(StrEnum):
    ACCESS = "access"  # a JWT
    MACHINE = "machine"  # a token of knox
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential that was checked, with what it takes to see that it was withdrawn.

    `key`: digest of a machine token, key of a session. `stamp`: made of the password as it was
    when the credential was given; "" where a new password is to change nothing.
    """

    user: int
    kind: Kind
    key: str
    stamp: str
    # Not compared: a thousand sign-ins of one user are withdrawn together.
    expires_at: datetime | None = field(compare=False)

    def as_json(self) -> dict[str, Any]:
        expires = self.expires_at.isoformat() if self.expires_at is not None else None
        return {**asdict(self), "expires_at": expires}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Credential:
        expires = data["expires_at"]
        expires_at = datetime.fromisoformat(expires) if expires is not None else None
        return cls(**{**data, "kind": Kind(data["kind"]), "expires_at": expires_at})


def of_access_token(token: Token) -> Credential:
    return Credential(
        user=int(token[api_settings.USER_ID_CLAIM]),
        kind=Kind.ACCESS,
        key="",
        stamp=str(token.get(api_settings.REVOKE_TOKEN_CLAIM, "")),
        expires_at=datetime.fromtimestamp(token["exp"], timezone.get_default_timezone()),
    )


def of_machine_token(token: AuthToken) -> Credential:
    return Credential(token.user_id, Kind.MACHINE, token.digest, "", token.expiry)


def of_session(user: User, session: Any) -> Credential:
    return Credential(
        user.pk,
        Kind.SESSION,
        session.session_key,
        user.get_session_auth_hash(),
        session.get_expiry_date(),
    )


def of_request(request: Request) -> Credential:
    """Return what a request that DRF has let in was let in by."""
    if isinstance(request.auth, AuthToken):
        return of_machine_token(request.auth)
    if isinstance(request.auth, Token):
        return of_access_token(request.auth)
    assert isinstance(request.user, User)
    return of_session(request.user, request._request.session)


def live(credentials: Collection[Credential]) -> set[Credential]:
    """Return those that are still good, in a number of queries that does not grow."""
    passwords = dict(
        User.objects.filter(pk__in={c.user for c in credentials}, is_active=True).values_list(
            "pk", "password"
        )
    )
    standing = {
        Kind.MACHINE: _machine_tokens(c.key for c in credentials if c.kind is Kind.MACHINE),
        Kind.SESSION: _sessions(c.key for c in credentials if c.kind is Kind.SESSION),
    }
    return {
        c
        for c in credentials
        if c.user in passwords
        and c.stamp == _stamp(c.kind, passwords[c.user])
        and (c.kind is Kind.ACCESS or c.key in standing[c.kind])
    }


def _stamp(kind: Kind, password: str) -> str:
    match kind:
        case Kind.ACCESS:
            return get_md5_hash_password(password)
        case Kind.SESSION:
            return User(password=password).get_session_auth_hash()
        case Kind.MACHINE:
            return ""


def _machine_tokens(keys: Iterable[str]) -> set[str]:
    wanted = set(keys)
    good = Q(expiry=None) | Q(expiry__gt=timezone.now())
    found = AuthToken.objects.filter(good, digest__in=wanted)
    return set(found.values_list("digest", flat=True)) if wanted else set()


def _sessions(keys: Iterable[str]) -> set[str]:
    wanted = set(keys)
    found = Session.objects.filter(session_key__in=wanted, expire_date__gt=timezone.now())
    return set(found.values_list("session_key", flat=True)) if wanted else set()
