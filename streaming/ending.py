"""When a stream is to end, and what its client is told then."""

from __future__ import annotations

import logging
import random
import time

from executions.visibility import Rights
from streaming import frames, metrics
from streaming.auth import Viewer
from streaming.hub import Hub

logger = logging.getLogger("attune.stream")

# Over how long clients that are all sent away at once come back.
SPREAD_MILLISECONDS = (1_000, 10_000)


class Ending:
    """The end of one stream. Times are in time.monotonic()."""

    __slots__ = ("_hub", "_life_ends", "_token_ends", "at", "slow")

    def __init__(self, hub: Hub, viewer: Viewer) -> None:
        self._hub = hub
        now = time.monotonic()
        self._token_ends = now + viewer.seconds_left(jitter=random.random())
        self._life_ends = now + hub.limits.max_lifetime_seconds * random.uniform(0.9, 1.0)
        self.at = min(self._token_ends, self._life_ends)  # at the latest
        self.slow = False  # its client takes nothing

    def frame(self, now: float, rights: Rights) -> bytes:
        """Return the last frame, and count it, where there is a reason to end; else nothing."""
        if not rights.active:
            return _close("revoked", reconnect=False)
        if now >= self._token_ends:
            return _close("token_expired", reconnect=False)
        if self._hub.closing:
            return _close("shutdown", reconnect=True)
        if now >= self._life_ends:
            return _close("max_lifetime", reconnect=True)
        if self.slow:
            return _close("slow_consumer", reconnect=True)
        return b""


def _close(reason: str, *, reconnect: bool) -> bytes:
    metrics.CLOSES.labels(reason).inc()
    logger.info("action=stream state=ended reason=%s", reason)
    retry = random.randint(*SPREAD_MILLISECONDS) if reconnect else None
    return frames.close(reason, reconnect=reconnect, retry_milliseconds=retry)
