"""sse-starlette: a queue for each client, as its documentation shows for broadcasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_queues: set[asyncio.Queue[str]] = set()


async def stream(request: Request) -> Response:
    async def events() -> AsyncIterator[ServerSentEvent]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        _queues.add(queue)
        try:
            while True:
                yield ServerSentEvent(await queue.get(), id="1", sep="\n")
        finally:
            _queues.discard(queue)

    return EventSourceResponse(events(), sep="\n")


async def publish(request: Request) -> Response:
    for line in (await request.body()).decode().splitlines():
        for queue in _queues:
            queue.put_nowait(line)
    return Response(status_code=204)


application = Starlette(
    routes=[Route("/stream", stream), Route("/publish", publish, methods=["POST"])]
)
