"""Connections to PostgreSQL beside the ORM's: for asyncio, and without Django's wrapping."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from django.conf import settings
from psycopg.conninfo import make_conninfo

from executions.eventlog import Connection

# Over TCP, a peer that vanished is noticed within half a minute instead of two hours.
_KEEPALIVES = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}
# For how long a notification is waited for where somebody stands between us and the server.
HEARD_SECONDS = 1.0


class NotDirect(psycopg.OperationalError):
    """A bouncer that pools by transaction stands in between: what LISTEN asks for is forgotten."""


def conninfo(*, application: str, direct: bool = False) -> str:
    """Return libpq's connection string for the project's database.

    `application` shows in `pg_stat_activity`. `direct` takes ATTUNE_LISTEN_DATABASE_URL
    where it is set: LISTEN does not survive a transaction-pooling bouncer.
    """
    if direct and settings.LISTEN_DATABASE:
        parts: dict[str, Any] = dict(settings.LISTEN_DATABASE)
    else:
        database = settings.DATABASES["default"]
        parts = {
            "dbname": database["NAME"],
            "user": database["USER"],
            "password": database["PASSWORD"],
            "host": database["HOST"],
            "port": database["PORT"],
            **database["OPTIONS"],
        }
    parts.pop("pool", None)  # Django's own
    parts = {key: value for key, value in parts.items() if value not in ("", None)}
    return make_conninfo(**{**_KEEPALIVES, "application_name": application, **parts})


async def connect(*, application: str, direct: bool = False) -> Connection:
    """Open one connection in autocommit; raises psycopg.OperationalError."""
    return await psycopg.AsyncConnection.connect(
        conninfo(application=application, direct=direct), autocommit=True
    )


async def check_direct(conn: Connection, connect: Callable[[], Awaitable[Connection]]) -> None:
    """Raise NotDirect where a LISTEN on `conn` hears nothing of what others NOTIFY.

    PostgreSQL says at connect which of its processes serves us; a bouncer makes that up. Only
    behind one, which may as well pool by session, it takes another connection to tell.
    """
    cursor = await conn.execute("SELECT pg_backend_pid()")
    if await cursor.fetchone() == (conn.info.backend_pid,):
        return
    channel = f"attune_{uuid.uuid4().hex}"
    await conn.execute(f"LISTEN {channel}")
    async with await connect() as other:
        await other.execute(f"NOTIFY {channel}")
    heard = [n async for n in conn.notifies(timeout=HEARD_SECONDS, stop_after=1)]
    await conn.execute(f"UNLISTEN {channel}")
    if not heard:
        raise NotDirect(
            "LISTEN does not last behind this bouncer, which pools by transaction; set"
            " ATTUNE_LISTEN_DATABASE_URL to a connection that leads to PostgreSQL itself"
        )
