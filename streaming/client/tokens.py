"""Where a client's token comes from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import httpx

from .errors import AccessDenied

# Called for the first token, and again each time the server has refused the last one.
TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]

SIGN_IN_SECONDS = 30.0


class PasswordTokens:
    """Signs in with name and password, and stays signed in by the refresh token.

    A TokenProvider. Raises AccessDenied where the server does not take them, and httpx.HTTPError
    where it cannot be asked now.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/auth/token"
        self._credentials = {"username": username, "password": password}
        self._refresh: str | None = None

    async def __call__(self) -> str:
        async with httpx.AsyncClient(timeout=SIGN_IN_SECONDS) as http:
            if self._refresh is not None:
                answer = await http.post(f"{self._url}/refresh", json={"refresh": self._refresh})
                if answer.status_code not in (400, 401):
                    return self._take(answer)
            answer = await http.post(self._url, json=self._credentials)
            if answer.status_code in (400, 401, 403):
                name = self._credentials["username"]
                raise AccessDenied(f"the server does not let {name!r} in: wrong name or password")
            return self._take(answer)

    def _take(self, answer: httpx.Response) -> str:
        answer.raise_for_status()
        tokens = answer.json()
        self._refresh = tokens.get("refresh", self._refresh)
        return str(tokens["access"])
