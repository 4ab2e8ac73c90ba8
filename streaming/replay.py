"""Reading the log for the streams of one process, on a few pooled connections.

No stream holds a connection: each page is one borrowing of a few milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from executions import eventlog, figures, snapshots
from executions.eventlog import Connection, LogState, Page
from executions.figures import Figures
from executions.filters import Filter, log_where
from executions.snapshots import Bounds, Snapshot, Statuses
from streaming import metrics

POOL_WAIT_SECONDS = 5.0
STATEMENT_TIMEOUT_MILLISECONDS = 10_000
# Of all that is done with one connection. A server that is stopped does not look at its own clock.
ANSWER_SECONDS = 20.0


# Not every psycopg.Error: a mistake in a query of ours is no reason to try it again.
UNAVAILABLE = (
    psycopg.OperationalError,  # PoolTimeout is one, too
    psycopg.InterfaceError,
    psycopg.DataError,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedColumn,  # of a newer version, as the others: to be migrated
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
)


class LogUnavailable(Exception):
    """The log cannot be read now; try again later."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A page of the log, and how far back the log went when it had been read."""

    page: Page
    floor_seq: int


class LogReader:
    """Reads pages and positions. Open it inside a running event loop.

    `bouncer`: what `conninfo` leads to may pool by transaction. `answer_seconds`: after which a
    database that says nothing counts as away.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        connections: int,
        bouncer: bool = False,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        options = conninfo_to_dict(conninfo).get("options", "")
        timeout = f"-c statement_timeout={STATEMENT_TIMEOUT_MILLISECONDS}"
        kwargs: dict[str, Any] = {"autocommit": True, "options": f"{options} {timeout}".strip()}
        if bouncer:
            # What one transaction prepares, the next one would look for in another session.
            kwargs["prepare_threshold"] = None
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            conninfo,
            min_size=0,
            max_size=connections,
            timeout=POOL_WAIT_SECONDS,
            kwargs=kwargs,
            open=False,
            name="log",
        )
        self._answer_seconds = answer_seconds
        self.answered = 0.0  # time.monotonic() of the last answer

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    async def state(self) -> LogState:
        """Return where the log stands; raises LogUnavailable."""
        async with self._connection() as conn:
            return await eventlog.state(conn)

    async def workers(self) -> int:
        """Return how many workers are connected to the database; raises LogUnavailable."""
        async with self._connection() as conn:
            return await eventlog.workers(conn)

    async def figures(self) -> Figures:
        """Return how the database stands; raises LogUnavailable."""
        async with self._connection() as conn:
            return await figures.read(conn)

    async def read(
        self, *, after: int, upto: int, limit: int, max_bytes: int, filter: Filter | None = None
    ) -> Reading:
        """Read the next events after `after`; raises LogUnavailable.

        What was pruned meanwhile is missing: hold `floor_seq` against `after`.
        """
        metrics.REPLAYS.inc()
        where = log_where(filter) if filter is not None else None
        async with self._connection() as conn:
            page = await eventlog.read(
                conn,
                after=after,
                upto=upto,
                limit=limit,
                max_bytes=max_bytes,
                condition=where.condition if where else None,
                values=where.values if where else None,
            )
            return Reading(page, (await eventlog.state(conn)).floor_seq)

    async def snapshot(self, filter: Filter, bounds: Bounds) -> Snapshot:
        """Read the executions that match now; raises LogUnavailable."""
        async with self._connection() as conn:
            return await snapshots.take(conn, filter, bounds)

    async def statuses(self, filter: Filter, bounds: Bounds) -> Statuses:
        """Read the statuses of the executions that match now; raises LogUnavailable."""
        async with self._connection() as conn:
            return await snapshots.statuses(conn, filter, bounds)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with asyncio.timeout(self._answer_seconds), self._pool.connection() as conn:
                yield conn
                self.answered = time.monotonic()
        except TimeoutError as exc:
            raise LogUnavailable(f"no answer within {self._answer_seconds:g} s") from exc
        except UNAVAILABLE as exc:
            raise LogUnavailable(f"{type(exc).__name__}: {exc}") from exc
