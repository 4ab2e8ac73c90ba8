"""What a program uses: one client for each server and user, asynchronous or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet

import httpx

from .connection import Connector
from .messages import Event, Message, Reset
from .query import Query
from .stream import AsyncEvents, AsyncMessages
from .tokens import TokenProvider

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class AsyncClient:
    """Streams of the attune server at `url`.

    `token` is an access token; or a function, asynchronous if it waits for anything, that
    returns one: it is called for the first, and again each time the server has refused the last.
    `http` is for proxies, certificates and the like; the client closes it.
    """

    def __init__(
        self, url: str, token: str | TokenProvider, *, http: httpx.AsyncClient | None = None
    ) -> None:
        # Reading has time-outs of its own, which follow the server's heartbeats.
        self._http = http or httpx.AsyncClient()
        self._connector = Connector(self._http, url, token)
        self._open: WeakSet[AsyncMessages | AsyncEvents] = WeakSet()

    def events(
        self,
        query: Query | None = None,
        *,
        on_reset: Callable[[Reset], None] | None = None,
        wait_for: bool = False,
    ) -> AsyncEvents:
        """Return the events that match; see AsyncEvents.

        `wait_for`: ask for an execution that does not exist yet until it does.
        """
        query = query or Query()
        messages = AsyncMessages(self._connector, query, wait_for=wait_for)
        events = AsyncEvents(messages, tells_state=query.snapshot, on_reset=on_reset)
        self._open.add(events)
        return events

    def messages(self, query: Query | None = None, *, wait_for: bool = False) -> AsyncMessages:
        """Return all there is to tell: events, snapshots, resets, and how the connection is."""
        messages = AsyncMessages(self._connector, query or Query(), wait_for=wait_for)
        self._open.add(messages)
        return messages

    async def aclose(self) -> None:
        """Close every stream and connection."""
        for stream in list(self._open):
            await stream.aclose()
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class _AsyncStream(Protocol[T_co]):
    @property
    def cursor(self) -> str | None: ...
    async def __anext__(self) -> T_co: ...
    async def aclose(self) -> None: ...


class Stream(Generic[T]):
    """A stream as a plain iterator, which waits where there is nothing new."""

    def __init__(self, runner: asyncio.Runner, stream: _AsyncStream[T]) -> None:
        self._runner = runner
        self._stream = stream

    @property
    def cursor(self) -> str | None:
        """Where a later stream can resume."""
        return self._stream.cursor

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return self._runner.run(self._next())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Close the connection; the iterator has ended then."""
        self._runner.run(self._stream.aclose())

    async def _next(self) -> T:
        return await self._stream.__anext__()


class Client:
    """The same as AsyncClient, for a program without asyncio.

    It has an event loop of its own, which runs in the caller's thread while the caller waits,
    and so cannot be used where another one runs. One thread at a time.
    """

    def __init__(
        self, url: str, token: str | TokenProvider, *, http: httpx.AsyncClient | None = None
    ) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(url, token, http=http)

    def events(
        self,
        query: Query | None = None,
        *,
        on_reset: Callable[[Reset], None] | None = None,
        wait_for: bool = False,
    ) -> Stream[Event]:
        """Return the events that match; as AsyncClient.events."""
        events = self._client.events(query, on_reset=on_reset, wait_for=wait_for)
        return Stream(self._runner, events)

    def messages(self, query: Query | None = None, *, wait_for: bool = False) -> Stream[Message]:
        """Return all there is to tell; as AsyncClient.messages."""
        return Stream(self._runner, self._client.messages(query, wait_for=wait_for))

    def close(self) -> None:
        """Close every stream and connection."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
