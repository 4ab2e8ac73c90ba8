"""Connections to PostgreSQL beside the ORM's: for asyncio, and without Django's wrapping."""

from __future__ import annotations

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
