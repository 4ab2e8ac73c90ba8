"""What those with an open stream may see, looked up again every few seconds.

A stream outlives the moment in which its credential was checked. One task a process asks for
all of its credentials at once, in a fixed number of queries.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace
from typing import Protocol

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections

from attune.accounts import credentials
from attune.accounts.credentials import Credential
from executions import visibility
from executions.visibility import Rights
from streaming.auth import Viewer

logger = logging.getLogger("attune.access")

# With a look-up every `access_check_seconds`, no event leaks for longer than this after a
# right was withdrawn: without a fresh answer, events are held back.
STALE_SECONDS = 5.0


class Wakeable(Protocol):
    def wake(self) -> None: ...


@dataclass(eq=False)
class Access:
    """The rights that a credential gives, as last looked up; none once it is withdrawn.

    `stale_at`, in time.monotonic(): from then on they are too old to go by.
    """

    credential: Credential
    rights: Rights
    stale_at: float
    readers: set[Wakeable] = field(default_factory=set)


class AccessRegistry:
    """The credentials with a stream open on this process."""

    def __init__(self, *, check_seconds: float) -> None:
        self._check_seconds = check_seconds
        self._entries: dict[Credential, Access] = {}

    def enter(
        self, credential: Credential, rights: Rights, reader: Wakeable, *, checked_at: float
    ) -> Access:
        """Return the entry to follow; `leave` it in the end."""
        stale_at = checked_at + STALE_SECONDS
        entry = self._entries.get(credential)
        if entry is None:
            entry = self._entries[credential] = Access(credential, rights, stale_at)
        elif stale_at > entry.stale_at:
            self._update(entry, rights, stale_at)
        entry.readers.add(reader)
        return entry

    def leave(self, entry: Access, reader: Wakeable) -> None:
        entry.readers.discard(reader)
        if not entry.readers:
            self._entries.pop(entry.credential, None)

    async def run(self) -> None:
        """Look all of them up, again and again."""
        while True:
            await asyncio.sleep(self._check_seconds)
            if self._entries:
                await self._check()

    async def _check(self) -> None:
        began = time.monotonic()
        held = list(self._entries)
        try:
            found = await sync_to_async(_look_up, thread_sensitive=False)(held)
        except DatabaseError as exc:
            logger.warning("action=check error=%r", " ".join(str(exc).split()))
            return
        for credential, rights in found.items():
            if credential in self._entries:
                self._update(self._entries[credential], rights, began + STALE_SECONDS)

    def _update(self, entry: Access, rights: Rights, stale_at: float) -> None:
        changed = entry.rights != rights
        if changed:
            entry.rights = rights  # else the same object: streams compare by identity
        changed = changed or time.monotonic() >= entry.stale_at
        entry.stale_at = stale_at
        if changed:
            for reader in entry.readers:
                reader.wake()


async def renewed(viewer: Viewer) -> Viewer:
    """Return the viewer with the rights of now; raises DatabaseError."""
    began = time.monotonic()
    found = await sync_to_async(_look_up, thread_sensitive=False)([viewer.credential])
    return replace(viewer, rights=found[viewer.credential], checked_at=began)


def _look_up(held: list[Credential]) -> dict[Credential, Rights]:
    try:
        live = credentials.live(held)
        rights = visibility.rights_of({credential.user for credential in held})
    finally:
        connections.close_all()
    return {
        credential: rights[credential.user]
        if credential in live
        else replace(rights[credential.user], active=False)
        for credential in held
    }
