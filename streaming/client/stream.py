"""A stream that outlives its connections, as an async iterator."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import httpx

from .backoff import Backoff
from .connection import Connector, Lost, Over, described
from .errors import HistoryLost, NotFound, StreamClosed
from .messages import Close, Connected, End, Event, Message, Reset, Snapshot, Waiting
from .parser import Parser
from .progress import Progress
from .query import Query

# Until `connected` says how often there are heartbeats.
FIRST_FRAME_SECONDS = 30.0
# One heartbeat may be lost, and the next one late by so much.
MISSED_HEARTBEATS = 2.0
LATE_SECONDS = 2.0
# How often to ask for an execution that does not exist yet.
POLL_SECONDS = 1.0


class AsyncMessages:
    """Everything a stream tells, connection after connection.

    Ends after `End`; raises an AttuneError for what no further attempt would mend. `cursor` is
    where a later stream can resume: as far as what was handed out, heartbeats included.
    """

    def __init__(self, connector: Connector, query: Query, *, wait_for: bool = False) -> None:
        self._connector = connector
        self._query = query
        self._wait_for = wait_for
        self._progress = Progress(query.last_event_id, snapshot=query.snapshot)
        self._backoff = Backoff(random.random)
        self._messages = self._run()

    @property
    def cursor(self) -> str | None:
        return self._progress.cursor

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        return await anext(self._messages)

    async def aclose(self) -> None:
        """Close the connection; the iterator has ended then."""
        await self._messages.aclose()

    async def _run(self) -> AsyncGenerator[Message, None]:
        while True:
            try:
                async with aclosing(self._connection()) as messages:
                    async for message in messages:
                        yield message
                return
            except Over:
                yield End({})
                return
            except NotFound as exc:
                if not self._wait_for:
                    raise
                lost = Lost(str(exc), seconds=POLL_SECONDS)
            except Lost as exc:
                lost = exc
            seconds = self._backoff.next(lost.seconds)
            yield Waiting(str(lost), seconds)
            await asyncio.sleep(seconds)

    async def _connection(self) -> AsyncGenerator[Message, None]:
        """Yield what one connection tells; raises Lost where it ends before the stream does."""
        opening = self._connector.open(self._query.params(), self._progress.cursor)
        async with opening as response, aclosing(_chunks(response)) as chunks:
            self._wait_for = False
            parser, quiet_seconds = Parser(), FIRST_FRAME_SECONDS
            while True:
                chunk = await _heard(chunks, quiet_seconds)
                for frame in parser.feed(chunk):
                    message = self._progress.take(frame)
                    if isinstance(message, Connected):
                        self._backoff.connected(frame.retry_milliseconds)
                        quiet_seconds = _quiet_seconds(message.heartbeat_seconds)
                    if isinstance(message, Close):
                        raise self._closed(message, frame.retry_milliseconds)
                    if message is not None:
                        yield message
                    if self._progress.over:
                        return

    def _closed(self, close: Close, retry_milliseconds: int | None) -> Exception:
        """Return what the server's last frame means: Lost, or StreamClosed."""
        if close.reason == "token_expired" and self._connector.renew():
            return Lost("the token has expired", seconds=0.0)
        if not close.reconnect:
            return StreamClosed(close.reason)
        seconds = None if retry_milliseconds is None else retry_milliseconds / 1000
        return Lost(f"the server closed the stream: {close.reason}", seconds=seconds)


class AsyncEvents:
    """The events of a stream, and of its snapshots the states that are news.

    Where events were missed that cannot be told, `on_reset` is called with the reason; the state
    then follows as `SNAPSHOT` events if `snapshot` was asked for. With neither, HistoryLost is
    raised: a gap is never silent.
    """

    def __init__(
        self,
        messages: AsyncMessages,
        *,
        tells_state: bool,
        on_reset: Callable[[Reset], None] | None,
    ) -> None:
        self._messages = messages
        self._tells_state = tells_state
        self._on_reset = on_reset
        self._events = self._run()
        self._in_snapshot = False

    @property
    def cursor(self) -> str | None:
        """Where a later stream can resume; None until the whole of a snapshot is told."""
        return None if self._in_snapshot else self._messages.cursor

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Close the connection; the iterator has ended then."""
        await self._events.aclose()
        await self._messages.aclose()

    async def _run(self) -> AsyncGenerator[Event, None]:
        async for message in self._messages:
            if isinstance(message, Event):
                yield message
            elif isinstance(message, Snapshot):
                self._in_snapshot = True
                for event in message.events:
                    yield event
                self._in_snapshot = False
            elif isinstance(message, Reset):
                self._reset(message)

    def _reset(self, reset: Reset) -> None:
        if self._on_reset is not None:
            self._on_reset(reset)
        elif not self._tells_state:
            raise HistoryLost(reset.reason)


def _quiet_seconds(heartbeat_seconds: float) -> float:
    """Return after how much silence a connection counts as dead."""
    return MISSED_HEARTBEATS * heartbeat_seconds + LATE_SECONDS


async def _heard(chunks: AsyncIterator[bytes], seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await anext(chunks)
    except StopAsyncIteration as exc:
        raise Lost("the connection ended") from exc
    except TimeoutError as exc:
        raise Lost(f"nothing was heard for {seconds:g} s") from exc
    except httpx.HTTPError as exc:
        raise Lost(described(exc)) from exc


async def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    async for chunk in response.aiter_bytes():
        yield chunk
