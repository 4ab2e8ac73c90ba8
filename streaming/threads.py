"""Give back what a request holds before it turns into a stream of hours."""

from __future__ import annotations

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections


async def release() -> None:
    """Close this request's database connections and end its thread.

    asgiref gives each ASGI request a thread of its own for synchronous code and keeps it,
    with whatever connection it opened, until the response has been sent: for a stream, that
    is one thread and one PostgreSQL connection a client. Both come back by themselves if
    anything synchronous runs later.
    """
    await sync_to_async(connections.close_all, thread_sensitive=True)()
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is not None:
        executor = SyncToAsync.context_to_thread_executor.pop(context, None)
        if executor is not None:
            executor.shutdown(wait=False)
