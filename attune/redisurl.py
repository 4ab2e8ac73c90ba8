"""What REDIS_URL names: a Redis server, or the one of several that Sentinel says is the master."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import redis.asyncio.sentinel
import redis.sentinel

SENTINEL_PORT = 26379
# No answer for so long, and the next Sentinel is asked.
TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
# Of the channel layer's connections. Of every message that RESP3 pushes, redis-py 8.1 makes a text
# for its debug log, whether or not anybody reads that: 5 % of a web process.
PROTOCOL = 2
EXPECTED = (
    "expected redis://host:6379/0 or redis+sentinel://host:26379+host:26379/master"
    " (commas between shards)"
)

_SCHEMES = frozenset({"redis", "rediss", "unix"})
_HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
# Plus signs between the Sentinels: a comma begins the next shard.
_SENTINEL = re.compile(
    r"redis\+sentinel://(?:(?P<username>[^:@/+]*):(?P<password>[^@/+]*)@)?"
    rf"(?P<hosts>{_HOST}(?:\+{_HOST})*)/(?P<master>[A-Za-z0-9._-]+)(?:/(?P<db>[0-9]{{1,4}}))?"
    r"(?:\?sentinel_password=(?P<sentinel_password>[^&#]+))?"
)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A master by its name, whom to ask for it, and how to connect to either."""

    sentinels: list[tuple[str, int]]
    master: str
    sentinel_kwargs: dict[str, Any]
    kwargs: dict[str, Any]


def check(url: str) -> None:
    """Raise ValueError where this names no Redis."""
    scheme = urlsplit(url).scheme
    if scheme != "redis+sentinel":
        if scheme not in _SCHEMES or url == f"{scheme}://":
            raise ValueError(f"not a Redis URL; {EXPECTED}")
    elif _watched(url) is None:
        raise ValueError(f"malformed Sentinel URL; {EXPECTED}")


def name(url: str) -> str:
    """Return what to call it, without what may be a password."""
    watched = _watched(url)
    if watched is not None:
        return f"{watched.master}, by Sentinel"
    parts = urlsplit(url)
    return f"{parts.hostname or parts.path}{f':{parts.port}' if parts.port else ''}"


def layer_host(url: str) -> dict[str, Any]:
    """Return it as channels-redis takes a host."""
    watched = _watched(url)
    if watched is None:
        return {"address": url, "protocol": PROTOCOL}
    return {
        "protocol": PROTOCOL,
        "sentinels": watched.sentinels,
        "master_name": watched.master,
        "sentinel_kwargs": watched.sentinel_kwargs,
        **watched.kwargs,
    }


def connect(url: str, **options: Any) -> redis.Redis:
    """Return a client; `options` are redis-py's own."""
    watched = _watched(url)
    if watched is None:
        return redis.Redis.from_url(url, **options)
    sentinel: Any = redis.sentinel.Sentinel  # redis-py's types leave it out
    asked = sentinel(watched.sentinels, sentinel_kwargs=watched.sentinel_kwargs)
    found: redis.Redis = asked.master_for(watched.master, **(watched.kwargs | options))
    return found


def connect_async(url: str, **options: Any) -> redis.asyncio.Redis:
    """Return a client for asyncio."""
    watched = _watched(url)
    if watched is None:
        return redis.asyncio.Redis.from_url(url, **options)
    sentinel: Any = redis.asyncio.sentinel.Sentinel
    asked = sentinel(watched.sentinels, sentinel_kwargs=watched.sentinel_kwargs)
    found: redis.asyncio.Redis = asked.master_for(watched.master, **(watched.kwargs | options))
    return found


def _watched(url: str) -> _Watched | None:
    """Return what a Sentinel URL says; None where it is none, or a malformed one."""
    match = _SENTINEL.fullmatch(url)
    if match is None:
        return None
    hosts = [urlsplit(f"//{host}") for host in match["hosts"].split("+")]
    try:
        sentinels = [(str(host.hostname), host.port or SENTINEL_PORT) for host in hosts]
    except ValueError:  # a port out of range, or no IPv6 address in the brackets
        return None
    given = {name: unquote(match[name]) for name in ("username", "password") if match[name]}
    asking = {"password": unquote(match["sentinel_password"])} if match["sentinel_password"] else {}
    return _Watched(
        sentinels,
        match["master"],
        TIMEOUTS | asking,
        {"socket_connect_timeout": 1.0, "db": int(match["db"] or 0), **given},
    )
