"""What the database knows of those who ask for a stream, looked up for many at a time.

A thousand clients that come back at once must not make a thousand queries, threads or
connections. While one look-up runs, those who ask wait together for the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from asgiref.sync import sync_to_async
from django.db import connections

from attune.accounts import credentials, presented
from attune.accounts.credentials import Credential
from attune.accounts.presented import Presented
from executions import visibility
from executions.visibility import Rights

BATCH = 500
# Where others have come meanwhile, it rests for so many times as long as a look-up took, so
# that the next one is for more of them: in a storm most of what a stream costs would be these.
REST = 3.0
MAX_REST_SECONDS = 0.1
# So many go on in one turn of the event loop: opening a stream takes some 0.5 ms, and whoever has
# one already waits meanwhile.
STEP = 16
_NOTHING = Rights(active=False, hidden_packs=frozenset())


@dataclass(frozen=True, slots=True)
class Admission:
    """Who asks, with what rights, and whether all executions that were asked for are visible.

    `credential` is None where it is not good. `checked_at`: in time.monotonic(), before the
    rights were looked up.
    """

    credential: Credential | None
    rights: Rights
    all_visible: bool
    checked_at: float


@dataclass(frozen=True, slots=True)
class _Request:
    presented: Presented
    executions: frozenset[int]
    answer: asyncio.Future[Admission]


class Admissions:
    """Answers in the order of asking; one look-up at a time."""

    def __init__(self) -> None:
        self._waiting: list[_Request] = []
        self._task: asyncio.Task[None] | None = None

    async def look_up(self, presented: Presented, executions: frozenset[int]) -> Admission:
        """Look up a credential and executions; raises DatabaseError. Uses a ticket up."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Request(presented, executions, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="admissions")
        result: Admission = await answer
        return result

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                began = time.monotonic()
                await _answer(batch)
                if self._waiting:
                    rest = REST * (time.monotonic() - began)
                    await asyncio.sleep(min(rest, MAX_REST_SECONDS))
        finally:
            self._task = None


async def _answer(batch: list[_Request]) -> None:
    began = time.monotonic()
    shown = [request.presented for request in batch]
    executions = frozenset().union(*(request.executions for request in batch))
    try:
        found, rights, refs = await sync_to_async(_query, thread_sensitive=False)(shown, executions)
    except Exception as exc:  # whatever it is, it is an answer to each of them
        for request in batch:
            if not request.answer.done():
                request.answer.set_exception(exc)
        return
    for number, (request, credential) in enumerate(zip(batch, found, strict=True), 1):
        theirs = rights[credential.user] if credential is not None else _NOTHING
        visible = visibility.all_visible(request.executions, refs, theirs.hidden_packs)
        if not request.answer.done():  # it is, where the client has gone meanwhile
            request.answer.set_result(Admission(credential, theirs, visible, began))
        if number % STEP == 0:
            await asyncio.sleep(0)


def _query(
    shown: Sequence[Presented], executions: frozenset[int]
) -> tuple[list[Credential | None], dict[int, Rights], dict[int, str]]:
    try:
        resolved = presented.resolve(shown)
        live = credentials.live({credential for credential in resolved if credential is not None})
        found = [credential if credential in live else None for credential in resolved]
        rights = visibility.rights_of({credential.user for credential in live})
        return found, rights, visibility.refs_of(executions)
    finally:
        connections.close_all()
