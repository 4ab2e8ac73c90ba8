"""Where a client's token comes from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import httpx

from .errors import AccessDenied, ProtocolError

# Called for the first token, and again each time the server has refused the last one.
TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]

SIGN_IN_SECONDS = 30.0
PASSING = frozenset({408, 425, 429})  # and everything from 500 on: ask again later


class PasswordTokens:
    """Signs in with name and password, and stays signed in by the refresh token.

    A TokenProvider. `http` is for proxies, certificates and the like; the caller closes it.
    Raises AccessDenied where the server does not take them, ProtocolError where it is no attune,
    and httpx.HTTPError where it cannot be asked now.
    """

    def __init__(
        self, url: str, username: str, password: str, *, http: httpx.AsyncClient | None = None
    ) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/auth/token"
        self._credentials = {"username": username, "password": password}
        self._refresh: str | None = None
        self._http = http

    async def __call__(self) -> str:
        if self._http is not None:
            return await self._token(self._http)
        async with httpx.AsyncClient(timeout=SIGN_IN_SECONDS) as http:
            return await self._token(http)

    async def _token(self, http: httpx.AsyncClient) -> str:
        if self._refresh is not None:
            answer = await http.post(f"{self._url}/refresh", json={"refresh": self._refresh})
            if answer.status_code not in (400, 401):
                return self._taken(answer)
        answer = await http.post(self._url, json=self._credentials)
        if answer.status_code in (400, 401, 403):
            name = self._credentials["username"]
            raise AccessDenied(f"the server does not let {name!r} in: wrong name or password")
        return self._taken(answer)

    def _taken(self, answer: httpx.Response) -> str:
        status = answer.status_code
        if status >= 500 or status in PASSING:
            answer.raise_for_status()
        try:
            tokens = answer.json()
            access = str(tokens["access"])
        except (ValueError, KeyError, TypeError) as exc:
            wrong = f"{answer.url} answers {status} and no token; is this attune's URL?"
            raise ProtocolError(wrong) from exc
        self._refresh = tokens.get("refresh", self._refresh)
        return access
