"""One change from the database to a real client, timed; its execution says what it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx
import psycopg
from psycopg.types.json import Jsonb

from executions import database
from executions.eventlog import Connection
from executions.status import Status
from streaming.client import AsyncClient, AttuneError, Connected, Event, Query, TokenProvider
from streaming.doctor.findings import Finding, error, ok, warning

ACTION_REF = "attune.doctor"
NOTE = {"canary": "made by manage.py doctor, to time one change"}
TIMEOUT_SECONDS = 10.0
SLOW_SECONDS = 1.0


async def examine(url: str, token: str | TokenProvider) -> Finding:
    """Make an execution, watch it at `url`, change it, and finish it whatever happens."""
    try:
        async with (
            await database.connect(application="attune doctor") as conn,
            _execution(conn) as execution,
            AsyncClient(url, token) as client,
            asyncio.timeout(TIMEOUT_SECONDS),
        ):
            seconds = await _timed(conn, client, execution)
    except AttuneError as exc:
        return error("canary", f"no stream from {url}: {exc}", "check --url and the credentials")
    except TimeoutError:
        advice = f"the other findings say where it is stuck; {url.rstrip('/')}/readyz, too"
        return error("canary", f"no event within {TIMEOUT_SECONDS:g} s", advice)
    except (psycopg.Error, httpx.HTTPError, OSError) as exc:
        text = " ".join(str(exc).split()) or type(exc).__name__
        return error("canary", f"cannot be sent: {text}", "mend what else was found first")
    text = (
        f"execution {execution} came to a client of {url} {seconds * 1000:.1f} ms after its change"
    )
    if seconds > SLOW_SECONDS:
        return warning("canary", text, "docs/operations.md, AttuneLag")
    return ok("canary", text)


@asynccontextmanager
async def _execution(conn: Connection) -> AsyncIterator[int]:
    cursor = await conn.execute(
        "INSERT INTO attune.execution (action_ref, config) VALUES (%s, %s) RETURNING id",
        [ACTION_REF, Jsonb(NOTE)],
    )
    ((execution,),) = await cursor.fetchall()
    try:
        yield execution
    finally:
        await conn.execute(
            "UPDATE attune.execution SET status = %s, result = %s WHERE id = %s",
            [Status.COMPLETED, Jsonb(NOTE), execution],
        )


async def _timed(conn: Connection, client: AsyncClient, execution: int) -> float:
    """Return the seconds from just before the change until the client has it."""
    began = 0.0
    messages = client.messages(Query(execution_id=[execution]))
    async with aclosing(messages):
        async for message in messages:
            if isinstance(message, Connected) and not began:
                began = time.monotonic()
                await conn.execute(
                    "UPDATE attune.execution SET status = %s WHERE id = %s",
                    [Status.RUNNING, execution],
                )
            elif isinstance(message, Event) and message.execution.status == Status.RUNNING:
                return time.monotonic() - began
    raise TimeoutError  # the stream has ended
