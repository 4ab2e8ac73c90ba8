"""A worker's second connection: what one has numbered is read by the other.

So PostgreSQL numbers the next batch while this one is read, made into Python's and published.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

import psycopg

from executions import eventlog
from executions.eventlog import Connection, Page, Sequenced

logger = logging.getLogger("attune.worker")

CLOSE_SECONDS = 1.0


class BatchReader:
    """Opens a connection beside `main` when there is something to read, and keeps it until `close`.

    Where PostgreSQL has none left for it, it takes turns with the sequencer on `main`.
    """

    def __init__(
        self,
        main: Connection,
        connect: Callable[[], Awaitable[Connection]],
        *,
        message_bytes: int,
        round_trip_seconds: float,
    ) -> None:
        self._main = main
        self._connect = connect
        self._message_bytes = message_bytes
        self._round_trip_seconds = round_trip_seconds
        self._conn: Connection | None = None

    async def pages(self, done: Sequenced) -> AsyncGenerator[Page]:
        """Yield the events of a batch, in order, about `message_bytes` of bodies at a time.

        Raises psycopg.Error or TimeoutError.
        """
        if self._conn is None:
            self._conn = await self._open()
        after = done.first_seq - 1
        while after < done.last_seq:
            async with asyncio.timeout(self._round_trip_seconds):
                page = await eventlog.read(
                    self._conn,
                    after=after,
                    upto=done.last_seq,
                    limit=done.count,
                    max_bytes=self._message_bytes,
                )
            yield page
            after = page.upto

    async def close(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None and conn is not self._main:
            await close(conn)

    async def _open(self) -> Connection:
        try:
            async with asyncio.timeout(self._round_trip_seconds):
                return await self._connect()
        except (psycopg.Error, OSError) as exc:
            logger.warning("action=read connection=shared error=%r", " ".join(str(exc).split()))
            return self._main


async def close(conn: Connection) -> None:
    """Close it within a second: a server that no longer answers is not to keep us from the next."""
    with contextlib.suppress(psycopg.Error, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await conn.close()
