"""The worker's own HTTP: three probes, on asyncio, with no thread and no framework."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus

from streaming.checks import OK, WORKER_SILENCE_SECONDS, Check, Report
from streaming.gauges import DatabaseGauges
from streaming.listener import Listener
from streaming.probes import Answer, Asked, Process, answer

logger = logging.getLogger("attune.worker")

HEAD_BYTES = 16 * 1024
HEAD_SECONDS = 5.0
ANSWER_SECONDS = 10.0


class WorkerProbes:
    """What a worker says of itself."""

    def __init__(self, listener: Listener, gauges: DatabaseGauges) -> None:
        self._listener = listener
        self._gauges = gauges

    async def report(self) -> Report:
        return Report(
            {
                "database": _check(self._listener.answered, "the database does not answer"),
                "layer": _check(self._listener.published, "the channel layer takes nothing"),
            }
        )

    async def gauges(self) -> DatabaseGauges:
        return self._gauges


def _check(well_at: float, trouble: str) -> Check:
    check = Check.of(OK, well_at)
    is_well = check.age_seconds is not None and check.age_seconds <= WORKER_SILENCE_SECONDS
    return check if is_well else Check(trouble, check.age_seconds)


@contextlib.asynccontextmanager
async def serving(address: tuple[str, int] | None, process: Process) -> AsyncIterator[None]:
    """Answer at this address for as long as the context lasts; nowhere where there is none.

    Raises OSError where it cannot be listened on.
    """
    if address is None:
        yield
        return
    asking: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: one of asyncio's complains where it is cancelled.
        task = asyncio.create_task(_serve(reader, writer, process), name="worker.probe")
        asking.add(task)
        task.add_done_callback(asking.discard)

    server = await asyncio.start_server(serve, *address, limit=HEAD_BYTES)
    port = server.sockets[0].getsockname()[1]
    logger.info("action=serve address=%s:%d", address[0], port)
    try:
        yield
    finally:
        server.close()
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, process: Process
) -> None:
    """Answer one request, and close the connection."""
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(ANSWER_SECONDS):
            asked = _parse(head, writer)
            found = await answer(asked, process) if asked is not None else Answer(400, b"")
            writer.write(_encoded(found or Answer(404, b""), asked))
            writer.close()
            await writer.wait_closed()
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # a client that sends no request, or does not wait for the answer
    except Exception:  # the top of a task
        logger.exception("action=serve state=failed")
    finally:
        writer.transport.abort()


def _parse(head: bytes, writer: asyncio.StreamWriter) -> Asked | None:
    lines = head.decode("latin1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return None
    pairs = (line.partition(":") for line in lines[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    peer = writer.get_extra_info("peername")
    return Asked(parts[0], parts[1].partition("?")[0], headers, str(peer[0]))


def _encoded(found: Answer, asked: Asked | None) -> bytes:
    headers = {**found.headers, "Content-Length": str(len(found.body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {found.status} {HTTPStatus(found.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    is_head = asked is not None and asked.method == "HEAD"
    return "\r\n".join([*lines, "", ""]).encode("latin1") + (b"" if is_head else found.body)
