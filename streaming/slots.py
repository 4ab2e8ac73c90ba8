"""How many streams a user and an address may have open, counted over all web processes.

Each process keeps its own counts and writes them to Redis, one hash a user or address and one
field in it a process. A field counts for as long as its process renews its lease: what a
process held that has crashed comes back by itself. Without Redis, each process goes by its own
counts: then a user may have more streams than the limit, and nobody is locked out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import uuid
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from attune import redisurl

logger = logging.getLogger("attune.slots")

RENEWALS = 3  # in the time of a lease
TIMEOUT_SECONDS = 1.0
_AWAY = (RedisError, OSError, TimeoutError)
# KEYS: a hash of counts each; ARGV: this process, its lease's key less its name, seconds that
# the hashes are kept, then this process's count and the limit for each of the KEYS. Says which
# of them is over its limit; 0: none, and the counts have been written.
_ACQUIRE = """
for i, key in ipairs(KEYS) do
    local total = tonumber(ARGV[2 * i + 2])
    local counts = redis.call('HGETALL', key)
    for j = 1, #counts, 2 do
        if counts[j] ~= ARGV[1] then
            if redis.call('EXISTS', ARGV[2] .. counts[j]) == 1 then
                total = total + tonumber(counts[j + 1])
            else
                redis.call('HDEL', key, counts[j])
            end
        end
    end
    if total > tonumber(ARGV[2 * i + 3]) then return i end
end
for i, key in ipairs(KEYS) do
    redis.call('HSET', key, ARGV[1], ARGV[2 * i + 2])
    redis.call('EXPIRE', key, ARGV[3])
end
return 0
"""


class TooManyStreams(Exception):
    """One more would be over a limit; the message says whose."""


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """0 is no limit. `hold_seconds`: no stream lasts longer."""

    per_user: int
    per_address: int
    lease_seconds: float
    hold_seconds: float


@dataclass(frozen=True, slots=True)
class Slot:
    """The keys that one stream counts for, each with its limit."""

    keys: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Request:
    slot: Slot
    counts: dict[str, int]  # of this process, with this one
    answer: asyncio.Future[str | None]  # the key that is full

    def full_here(self) -> str | None:
        """Return the key that is full by the counts of this process alone."""
        over = (key for key, limit in self.slot.keys.items() if self.counts[key] > limit)
        return next(over, None)


class Slots:
    """The streams of this process, and their share of everybody's."""

    def __init__(self, url: str, limits: SlotLimits, *, prefix: str) -> None:
        # An answer comes within a second, or Redis counts as away. One more try at once: the
        # server may have closed a connection that was idle.
        self._redis: Redis = redisurl.connect_async(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._limits = limits
        self._renew_seconds = limits.lease_seconds / RENEWALS
        self._prefix = prefix
        self._process = uuid.uuid4().hex
        self._counts: dict[str, int] = {}
        self._changed: set[str] = set()  # keys whose count Redis does not know yet
        self._waiting: list[_Request] = []
        self._work = asyncio.Event()
        self._has_lease = self._is_away = False
        self._renew_at = 0.0

    async def acquire(self, user: int, address: str) -> Slot:
        """Take a slot, to be released; raises TooManyStreams. No address: a Unix socket."""
        keys = {f"user:{user}": self._limits.per_user}
        if address:
            keys[f"address:{address}"] = self._limits.per_address
        slot = Slot({key: limit for key, limit in keys.items() if limit})
        for key in slot.keys:
            self._counts[key] = self._counts.get(key, 0) + 1
        try:
            full = await self._ask(slot)
        except asyncio.CancelledError:
            self.release(slot)
            raise
        if full is not None:
            self.release(slot)
            raise TooManyStreams(
                f"This {full.partition(':')[0]} has {slot.keys[full]} streams open, as many as"
                " are allowed; close one."
            )
        return slot

    def release(self, slot: Slot) -> None:
        for key in slot.keys:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]
        self._changed.update(slot.keys)
        self._work.set()

    async def enter(self) -> None:
        """Take the lease, before the first slot."""
        await self._exchange()

    async def run(self) -> None:
        """Answer, write changes and renew the lease: all in this one task, so all in order."""
        try:
            while True:
                await self._exchange()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._renew_seconds):
                        await self._work.wait()
        finally:
            await self._redis.aclose()

    async def leave(self) -> None:
        """Give all slots back at once: the process is about to end."""
        with contextlib.suppress(*_AWAY):
            await self._redis.delete(self._lease)

    @property
    def _lease(self) -> str:
        return f"{self._prefix}process:{self._process}"

    async def _ask(self, slot: Slot) -> str | None:
        """Return the key that is full, or None."""
        request = _Request(slot, {key: self._counts[key] for key in slot.keys}, _new_answer())
        if not (self._has_lease and slot.keys):
            return request.full_here()
        self._waiting.append(request)
        self._work.set()
        return await request.answer

    async def _exchange(self) -> None:
        self._work.clear()
        waiting, self._waiting = self._waiting, []
        if not self._has_lease and time.monotonic() < self._renew_at:
            _give(waiting, [request.full_here() for request in waiting])
            return
        changed, self._changed = self._changed, set()
        try:
            await self._renew()
            answers = await self._tell(changed, waiting)
        except _AWAY as exc:
            logger.warning("action=slots state=away error=%s", type(exc).__name__)
            self._has_lease, self._is_away = False, True
            self._changed |= changed
            answers = [request.full_here() for request in waiting]
        for request in waiting:
            self._changed.update(key for key, n in request.counts.items() if n != self._count(key))
        _give(waiting, answers)
        if self._changed and self._has_lease:
            self._work.set()

    def _count(self, key: str) -> int:
        return self._counts.get(key, 0)

    async def _renew(self) -> None:
        """Renew the lease when it is due; what Redis has forgotten is written anew."""
        now = time.monotonic()
        if now < self._renew_at:
            return
        self._renew_at = now + self._renew_seconds
        lease = round(self._limits.lease_seconds * 1000)
        if await self._redis.set(self._lease, 1, px=lease, get=True) is None:
            await self._tell(set(self._counts), [])
        if self._is_away:
            logger.info("action=slots state=back")
        self._has_lease, self._is_away = True, False

    async def _tell(self, changed: set[str], waiting: list[_Request]) -> list[str | None]:
        """Write these counts, then ask for each of these slots."""
        if not (changed or waiting):
            return []
        hold = math.ceil(self._limits.hold_seconds + self._limits.lease_seconds)
        pipe = self._redis.pipeline(transaction=False)
        for key in changed:
            if key in self._counts:
                pipe.hset(self._prefix + key, self._process, self._counts[key])
                pipe.expire(self._prefix + key, hold)
            else:
                pipe.hdel(self._prefix + key, self._process)
        for request in waiting:
            limits = request.slot.keys
            keys = [self._prefix + key for key in limits]
            numbers = [n for key in limits for n in (request.counts[key], limits[key])]
            values: list[str | int] = [self._process, f"{self._prefix}process:", hold, *numbers]
            pipe.eval(_ACQUIRE, len(keys), *keys, *values)
        answers = await pipe.execute()
        return [
            list(request.slot.keys)[which - 1] if which else None
            for request, which in zip(reversed(waiting), reversed(answers), strict=False)
        ][::-1]


def _give(waiting: list[_Request], answers: list[str | None]) -> None:
    for request, answer in zip(waiting, answers, strict=True):
        if not request.answer.done():  # it is, where the client has gone meanwhile
            request.answer.set_result(answer)


def _new_answer() -> asyncio.Future[str | None]:
    return asyncio.get_running_loop().create_future()
