"""How many wrong passwords there may be, counted over all web processes.

For one user from one address, and for one address: whoever guesses is slowed down, and cannot
lock somebody else out, who comes from elsewhere. Without Redis, each process counts for itself.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rest_framework.exceptions import Throttled

from attune import redisurl
from attune.accounts import metrics

logger = logging.getLogger("attune.login")

TIMEOUT_SECONDS = 1.0
AWAY_SECONDS = 5.0  # Redis is not asked again for so long, so that nobody waits for it
LOCAL_KEYS = 100_000  # of a process without Redis; beyond them it begins anew
# Counts one more; says how many there are, and for how many milliseconds they count.
_COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""
# Not where the window has ended in between: the count would never end.
_GIVE_BACK = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DECR', KEYS[1]) end"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A password that is about to be checked. It counts as wrong until it `succeeded`."""

    user_key: str
    address_key: str

    def succeeded(self) -> None:
        counters = get_counters()
        counters.forget(self.user_key)
        counters.give_back(self.address_key)


def begin(username: str, address: str) -> Attempt:
    """Count an attempt to sign in; raises Throttled, with the seconds to wait."""
    limits = settings.ATTUNE
    # Hashed: a name may be of any length, and what is typed into this field may be a password.
    name = hashlib.sha256(username.casefold().encode(errors="replace")).hexdigest()
    attempt = Attempt(f"login:{address}:{name}", f"login:{address}")
    for key, most in (
        (attempt.user_key, limits.login_failures),
        (attempt.address_key, limits.login_failures_per_address),
    ):
        count, seconds = get_counters().count(key)
        if count > most:
            metrics.FAILURES.labels("throttled").inc()
            logger.warning("action=login state=throttled address=%s", address)
            raise Throttled(wait=math.ceil(seconds))
    return attempt


class Counters:
    """Counts that begin anew a fixed time after their first."""

    def __init__(self, url: str, *, prefix: str, window_seconds: float) -> None:
        self._redis: Redis = redisurl.connect(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._prefix = prefix
        self._window = window_seconds
        self._away_until = 0.0
        self._local: dict[str, tuple[int, float]] = {}  # count, and when it ends
        self._lock = threading.Lock()

    def count(self, key: str) -> tuple[int, float]:
        """Count one more; return how many there are, and for how many seconds they count."""
        milliseconds = round(self._window * 1000)
        answer = self._ask("EVAL", _COUNT, 1, self._prefix + key, milliseconds)
        if answer is None:
            return self._count_here(key)
        return int(answer[0]), max(0, int(answer[1])) / 1000

    def forget(self, key: str) -> None:
        self._ask("DEL", self._prefix + key)
        with self._lock:
            self._local.pop(key, None)

    def give_back(self, key: str) -> None:
        self._ask("EVAL", _GIVE_BACK, 1, self._prefix + key)
        with self._lock:
            count, end = self._local.get(key, (0, 0.0))
            if count:
                self._local[key] = (count - 1, end)

    def _ask(self, *command: str | int) -> Any:
        """Return Redis' answer, or None where it is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as exc:
            logger.warning("action=login state=away error=%s", type(exc).__name__)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return None

    def _count_here(self, key: str) -> tuple[int, float]:
        now = time.monotonic()
        with self._lock:
            if len(self._local) >= LOCAL_KEYS:
                self._local.clear()
            count, end = self._local.get(key, (0, now + self._window))
            if end <= now:
                count, end = 0, now + self._window
            self._local[key] = (count + 1, end)
        return count + 1, end - now


@cache
def get_counters() -> Counters:
    return Counters(
        settings.REDIS_URLS[0],
        prefix=settings.REDIS_PREFIX,
        window_seconds=settings.ATTUNE.login_window_seconds,
    )
