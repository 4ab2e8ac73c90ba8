"""One connection: from the request to the bytes that come, or to why there are none."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import httpx

from .errors import AccessDenied, BadRequest, NotFound, ProtocolError
from .tokens import PASSING, TokenProvider

PATH = "/api/v1/executions/stream"
# The server waits up to 5 s for a connection to its database before it answers.
OPEN_SECONDS = 30.0
CONNECT_SECONDS = 10.0
# Silence is for whoever reads to judge; of a caller's own client, too, whatever it is set to.
TIMEOUT = httpx.Timeout(OPEN_SECONDS, connect=CONNECT_SECONDS, read=None)
# A proxy's `Retry-After: 0` is no reason to ask it without a pause.
LEAST_SECONDS = 1.0
Params: TypeAlias = tuple[tuple[str, str], ...]
_REFUSED = {400: BadRequest, 403: AccessDenied, 404: NotFound}


class Lost(Exception):
    """There is no connection now; the text says why. `seconds`: when to come back, if told."""

    def __init__(self, reason: str, *, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Over(Exception):
    """The server has nothing more to tell (204)."""


class Connector:
    """Opens streams of one server, with a token that is kept until the server refuses it."""

    def __init__(self, http: httpx.AsyncClient, url: str, token: str | TokenProvider) -> None:
        self._http = http
        self._url = url.rstrip("/") + PATH
        self._provider = token if callable(token) else None
        self._token = None if callable(token) else token

    def renew(self) -> bool:
        """Drop the token, which has expired, and say whether there may be another."""
        if self._provider is not None:
            self._token = None
        return self._provider is not None

    @asynccontextmanager
    async def open(self, params: Params, cursor: str | None) -> AsyncIterator[httpx.Response]:
        """Open a stream; raises Lost, Over, or an AttuneError where there is none to be had."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                response = await self._send(params, cursor)
        except TimeoutError as exc:
            raise Lost(f"no answer within {OPEN_SECONDS:g} s") from exc
        except httpx.InvalidURL as exc:
            raise ProtocolError(f"{self._url}: {exc}") from exc
        except httpx.UnsupportedProtocol as exc:
            raise ProtocolError(f"{self._url}: {exc}") from exc
        except httpx.HTTPError as exc:
            raise Lost(described(exc)) from exc
        try:
            yield response
        finally:
            await response.aclose()

    async def _send(self, params: Params, cursor: str | None) -> httpx.Response:
        response = await self._send_once(params, cursor)
        if response.status_code == 401 and self.renew():
            await response.aclose()
            response = await self._send_once(params, cursor)
        if response.status_code == 200:
            return _checked(response)
        raise await _refusal(response)

    async def _send_once(self, params: Params, cursor: str | None) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {await self._current_token()}",
            "Accept": "text/event-stream",
            "Cache-Control": "no-store",
        }
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        request = self._http.build_request(
            "GET", self._url, params=params, headers=headers, timeout=TIMEOUT
        )
        return await self._http.send(request, stream=True)

    async def _current_token(self) -> str:
        if self._token is None:
            assert self._provider is not None
            given = self._provider()
            self._token = await given if inspect.isawaitable(given) else given
        if not self._token.isascii() or not self._token.isprintable():
            raise AccessDenied("the token holds characters that no token has")
        return self._token


def described(exc: Exception) -> str:
    """Return the error in one line, and its name where it says nothing."""
    return " ".join(str(exc).split()) or type(exc).__name__


def _checked(response: httpx.Response) -> httpx.Response:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
    if kind != "text/event-stream":
        raise ProtocolError(f"{response.url} is no stream: it answers with {kind or 'no type'}")
    return response


async def _refusal(response: httpx.Response) -> Exception:
    """Return what an answer without a stream means."""
    status = response.status_code
    try:
        detail = _detail(await response.aread())
    finally:
        await response.aclose()
    if status == 204:
        return Over()
    if status in PASSING or status >= 500:
        return Lost(detail or f"the server answers {status}", seconds=_retry_after(response))
    if status == 401:
        return AccessDenied(detail or "the server refuses the token")
    if status in _REFUSED and detail:  # without one, it is not attune that says so
        return _REFUSED[status](detail)
    if response.has_redirect_location:
        return ProtocolError(f"the server sends to {response.headers['Location']}: use that URL")
    return ProtocolError(f"{response.url} answers {status}; is this attune's URL?")


def _detail(body: bytes) -> str:
    """Return the sentence of attune's own error answers; nothing for any other."""
    try:
        detail = httpx.Response(200, content=body).json()["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    return detail if isinstance(detail, str) else ""


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    asked = float(value) if value.isascii() and value.isdigit() and len(value) < 7 else None
    return None if asked is None else max(asked, LEAST_SECONDS)
