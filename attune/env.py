"""Settings from the environment, parsed strictly.

Every reader names the variable and says what it expects when the value is wrong, and reads
`NAME_FILE` where `NAME` is not set, so that secrets can come from mounted files.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

from attune import redisurl

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
# A scheme, a host and a port, in the form that browsers send; nothing that matches many.
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
MOST_PORT = 65_535


def refuse(name: str, reason: str) -> ImproperlyConfigured:
    """Return the error every wrong setting is reported with: its name, then the reason."""
    return ImproperlyConfigured(f"{name}: {reason}")


def text(name: str, default: str = "") -> str:
    """Return the value of `name`, else the content of the file `name_FILE` names."""
    value = os.environ.get(name, "")
    path = os.environ.get(f"{name}_FILE", "")
    if value or not path:
        return value.strip() or default
    try:
        return Path(path).read_text(encoding="utf-8").strip() or default
    except (OSError, UnicodeDecodeError) as exc:
        raise refuse(f"{name}_FILE", f"cannot read {path!r} ({exc})") from exc


def boolean(name: str, *, default: bool) -> bool:
    value = text(name).lower()
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    if value:
        raise refuse(name, f"{value!r} is not a yes or no; use true or false")
    return default


def number(name: str, *, default: float, low: float, high: float) -> float:
    """Return a number between `low` and `high`, both allowed."""
    value = text(name)
    try:
        parsed = float(value) if value else default
    except ValueError as exc:
        raise refuse(name, f"{value!r} is not a number") from exc
    if not low <= parsed <= high:  # also refuses nan
        raise refuse(name, f"{value} is out of range; use {low:g} to {high:g}")
    return parsed


def integer(name: str, *, default: int, low: int, high: int) -> int:
    """Return a whole number between `low` and `high`, both allowed."""
    value = text(name)
    try:
        parsed = int(value) if value else default
    except ValueError as exc:
        raise refuse(name, f"{value!r} is not a whole number") from exc
    if not low <= parsed <= high:
        raise refuse(name, f"{value} is out of range; use {low} to {high}")
    return parsed


def words(name: str, *, default: list[str]) -> list[str]:
    """Return a comma-separated list."""
    value = text(name)
    return [word.strip() for word in value.split(",") if word.strip()] if value else default


def origins(name: str) -> list[str]:
    """Return a comma-separated list of exact origins, such as https://app.example:8443."""
    found = words(name, default=[])
    for origin in found:
        if not _ORIGIN.fullmatch(origin):
            raise refuse(
                name, f"{origin!r} is not an origin; use https://host or https://host:port"
            )
    return found


def choice(name: str, *, default: str, among: tuple[str, ...]) -> str:
    """Return one of the words `among`."""
    value = text(name, default)
    if value not in among:
        raise refuse(name, f"{value!r} is not known; use {' or '.join(among)}")
    return value


def address(name: str) -> tuple[str, int] | None:
    """Return a host and a port to listen on, such as 127.0.0.1:9100; None where none is set."""
    value = text(name)
    if not value:
        return None
    host, _, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and port.isascii() and port.isdigit() and int(port) <= MOST_PORT):
        raise refuse(name, f"{value!r} is no address; use host:port, such as 127.0.0.1:9100")
    return host, int(port)


def database_url(name: str, *, default: str = "") -> dict[str, str]:
    """Return libpq's own reading of a PostgreSQL URL; an empty dict where none is set.

    libpq's parser is the judge, so that whatever `psql` takes is taken here too.
    """
    value = text(name, default)
    if not value:
        return {}
    if not value.startswith(("postgresql://", "postgres://")):
        raise refuse(name, "not a PostgreSQL URL; expected postgresql://user:password@host/name")
    try:
        parts = conninfo_to_dict(value)
    except psycopg.Error as exc:
        # libpq's message quotes the URL, and with it the password.
        raise refuse(name, "malformed URL; expected postgresql://user:password@host/name") from exc
    if not all(port.isdigit() for port in str(parts.get("port", "0")).split(",")):
        raise refuse(name, "the port is not a number; expected postgresql://user@host:5432/name")
    if not parts.get("dbname"):
        raise refuse(name, "names no database; expected postgresql://user:password@host/name")
    return {key: str(part) for key, part in parts.items() if part is not None}


def redis_urls(name: str, *, default: str = "") -> list[str]:
    """Return the Redis URLs, one a shard."""
    urls = words(name, default=[default] if default else [])
    for url in urls:
        try:
            redisurl.check(url)
        except ValueError as exc:
            raise refuse(name, str(exc)) from exc
    if not urls:
        raise refuse(name, "names no Redis; expected redis://host:6379/0")
    return urls
