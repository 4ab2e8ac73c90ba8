"""What the database knows of those who ask for a stream, looked up for many at a time.

A thousand clients that come back at once must not make a thousand queries, threads or
connections. While one look-up runs, those who ask wait together for the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass

from asgiref.sync import sync_to_async
from django.db import connections

from executions import visibility
from executions.visibility import Rights

BATCH = 500


@dataclass(frozen=True, slots=True)
class Admission:
    """A user's rights, and whether all executions that were asked for are visible to them.

    `checked_at`: in time.monotonic(), before the rights were looked up.
    """

    rights: Rights
    all_visible: bool
    checked_at: float


@dataclass(frozen=True, slots=True)
class _Request:
    user: int
    executions: frozenset[int]
    answer: asyncio.Future[Admission]


class Admissions:
    """Answers in the order of asking; one look-up at a time."""

    def __init__(self) -> None:
        self._waiting: list[_Request] = []
        self._task: asyncio.Task[None] | None = None

    async def look_up(self, user: int, executions: frozenset[int]) -> Admission:
        """Look up a user and executions; raises DatabaseError."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Request(user, executions, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="admissions")
        result: Admission = await answer
        return result

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await _answer(batch)
        finally:
            self._task = None


async def _answer(batch: list[_Request]) -> None:
    began = time.monotonic()
    users = {request.user for request in batch}
    executions = frozenset().union(*(request.executions for request in batch))
    try:
        rights, refs = await sync_to_async(_query, thread_sensitive=False)(users, executions)
    except Exception as exc:  # whatever it is, it is an answer to each of them
        for request in batch:
            if not request.answer.done():
                request.answer.set_exception(exc)
        return
    for request in batch:
        theirs = rights[request.user]
        visible = visibility.all_visible(request.executions, refs, theirs.hidden_packs)
        if not request.answer.done():  # it is, where the client has gone meanwhile
            request.answer.set_result(Admission(theirs, visible, began))


def _query(
    users: Collection[int], executions: Collection[int]
) -> tuple[dict[int, Rights], dict[int, str]]:
    try:
        return visibility.rights_of(users), visibility.refs_of(executions)
    finally:
        connections.close_all()
