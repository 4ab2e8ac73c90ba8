"""Reading the log for the streams of one process, on a few pooled connections.

No stream holds a connection: each page is one borrowing of a few milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from executions import eventlog
from executions.eventlog import Connection, Event, LogState

POOL_WAIT_SECONDS = 5.0
STATEMENT_TIMEOUT_MILLISECONDS = 10_000


class LogUnavailable(Exception):
    """The log cannot be read now; try again later."""


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of the log: every event wanted up to `upto` is in it."""

    events: list[Event]
    upto: int
    floor_seq: int  # as it was after the reading


class LogReader:
    """Reads pages and positions. Open it inside a running event loop."""

    def __init__(self, conninfo: str, *, connections: int) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            conninfo,
            min_size=0,
            max_size=connections,
            timeout=POOL_WAIT_SECONDS,
            kwargs={"autocommit": True},
            configure=_configure,
            open=False,
            name="log",
        )

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    async def state(self) -> LogState:
        """Return where the log stands; raises LogUnavailable."""
        async with self._connection() as conn:
            return await eventlog.state(conn)

    async def page(
        self, *, after: int, upto: int, limit: int, executions: frozenset[int] | None = None
    ) -> Page:
        """Read the next events after `after`; raises LogUnavailable.

        What was pruned meanwhile is missing from the page: hold `floor_seq` against `after`.
        """
        async with self._connection() as conn:
            events = await eventlog.read(
                conn, after=after, upto=upto, limit=limit, executions=executions
            )
            floor_seq = (await eventlog.state(conn)).floor_seq
        complete = len(events) < limit
        return Page(events, upto if complete else events[-1].seq, floor_seq)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.connection() as conn:
                yield conn
        except (psycopg.Error, PoolTimeout, PoolClosed, TooManyRequests) as exc:
            raise LogUnavailable(f"{type(exc).__name__}: {exc}") from exc


async def _configure(conn: psycopg.AsyncConnection[Any]) -> None:
    await conn.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MILLISECONDS}")
