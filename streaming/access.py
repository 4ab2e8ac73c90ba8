"""What the users of open streams may see, looked up again every few seconds.

A stream outlives the moment in which its credential was checked. One task a process asks for
all of its users at once, in a fixed number of queries.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Protocol

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections

from executions import visibility
from executions.visibility import Rights

logger = logging.getLogger("attune.access")

# With a look-up every `access_check_seconds`, no event leaks for longer than this after a
# right was withdrawn: without a fresh answer, events are held back.
STALE_SECONDS = 5.0


class Wakeable(Protocol):
    def wake(self) -> None: ...


@dataclass(eq=False)
class Access:
    """The rights of one user as last looked up; `checked_at` is in time.monotonic()."""

    user: int
    rights: Rights
    checked_at: float
    readers: set[Wakeable] = field(default_factory=set)

    def stale(self, now: float) -> bool:
        return now - self.checked_at > STALE_SECONDS


class AccessRegistry:
    """The users who have a stream open on this process."""

    def __init__(self, *, check_seconds: float) -> None:
        self._check_seconds = check_seconds
        self._entries: dict[int, Access] = {}

    def enter(self, user: int, rights: Rights, reader: Wakeable, *, checked_at: float) -> Access:
        """Return the entry to follow; `leave` it in the end."""
        entry = self._entries.get(user)
        if entry is None:
            entry = self._entries[user] = Access(user, rights, checked_at)
        elif checked_at > entry.checked_at:
            self._update(entry, rights, checked_at)
        entry.readers.add(reader)
        return entry

    def leave(self, entry: Access, reader: Wakeable) -> None:
        entry.readers.discard(reader)
        if not entry.readers:
            self._entries.pop(entry.user, None)

    async def run(self) -> None:
        """Look all users up, again and again."""
        while True:
            await asyncio.sleep(self._check_seconds)
            if self._entries:
                await self._check()

    async def _check(self) -> None:
        began = time.monotonic()
        users = list(self._entries)
        try:
            found = await sync_to_async(_look_up, thread_sensitive=False)(users)
        except DatabaseError as exc:
            logger.warning("action=check error=%r", " ".join(str(exc).split()))
            return
        for user, rights in found.items():
            if user in self._entries:
                self._update(self._entries[user], rights, began)

    def _update(self, entry: Access, rights: Rights, checked_at: float) -> None:
        changed = entry.rights != rights
        if changed:
            entry.rights = rights  # else the same object: streams compare by identity
        changed = changed or entry.stale(time.monotonic())
        entry.checked_at = checked_at
        if changed:
            for reader in entry.readers:
                reader.wake()


def _look_up(users: list[int]) -> dict[int, Rights]:
    try:
        return visibility.rights_of(users)
    finally:
        connections.close_all()
