"""The worker's loop: from a commit to a message on the channel layer.

NOTIFY only says "look now". The worker looks at the inbox anyway, at every tick, so a lost or
forged notification costs at most a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psycopg

from executions import database, eventlog
from executions.eventlog import Connection, Sequenced
from streaming import metrics
from streaming.batchreader import BatchReader, close
from streaming.gauges import DatabaseGauges
from streaming.messages import Batch
from streaming.polling import Polling
from streaming.publisher import Publisher

logger = logging.getLogger("attune.worker")

RETRY_SECONDS = (0.2, 10.0)  # first and longest wait before connecting again
# How soon to look again after finding somebody else at the sequencer.
BUSY_SECONDS = 0.02
# However rarely it looks: web processes take a worker that they do not hear for gone.
ANNOUNCE_SECONDS = 1.0

_NOT_MIGRATED = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
)


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """`tick_seconds` 0 turns the tick off. `message_bytes` bounds one layer message.

    From `poll_events_per_second` on the worker polls; see `streaming.polling`.
    """

    tick_seconds: float
    poll_events_per_second: float
    round_trip_seconds: float
    batch_events: int
    message_bytes: int


class Listener:
    """Sequences the inbox and publishes what it sequenced, until `stop` is called.

    Any number may run against one database: the sequencer lets one work at a time.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        publisher: Publisher,
        limits: WorkerLimits,
        *,
        gauges: DatabaseGauges,
    ) -> None:
        self._connect = connect
        self._publisher = publisher
        self._limits = limits
        self._gauges = gauges
        self.answered = 0.0  # time.monotonic() of the database's last answer
        self.published = 0.0  # and of the last message that the layer took
        self._batch = limits.batch_events  # fewer, after what took too long
        self._sending: asyncio.Task[None] | None = None  # a batch that travels while we go on
        self._stopping = False
        self._wake = asyncio.Event()  # the server sent something, or we are to stop

    def stop(self) -> None:
        """Make `run` return after the batch in hand."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Connect and serve, again and again, with growing waits between failures."""
        wait = RETRY_SECONDS[0]
        while not self._stopping:
            began, batch = time.monotonic(), self._batch
            try:
                await self._serve()
            except (psycopg.Error, OSError, TimeoutError) as exc:
                was_up = time.monotonic() - began > RETRY_SECONDS[1]
                if was_up or self._batch < batch:
                    wait = RETRY_SECONDS[0]
                delay = wait * random.uniform(0.5, 1.0)
                logger.error("action=connect retry_in=%.1f error=%r", delay, _line(exc))
                await self._sleep(delay)
                wait = min(wait * 2, RETRY_SECONDS[1])
        logger.info("action=stop")

    async def _serve(self) -> None:
        conn = await self._connect()
        metrics.CONNECTS.inc()
        reader = BatchReader(
            conn,
            self._connect,
            message_bytes=self._limits.message_bytes,
            round_trip_seconds=self._limits.round_trip_seconds,
        )
        try:
            async with asyncio.timeout(self._limits.round_trip_seconds):
                await database.check_direct(conn, self._connect)
                position, previous = await eventlog.listen(conn)
            logger.info("action=listen channel=%s position=%s", eventlog.CHANNEL, position)
            if previous != position.epoch:
                news = Batch(position.epoch, position.seq, ())
                await self._send(news, to_epoch=previous)
            # Called for what arrives together with a statement's answer.
            conn.add_notify_handler(lambda notify: self._wake.set())
            polling = Polling(conn, events_per_second=self._limits.poll_events_per_second)
            while not self._stopping:
                events = await self._drain(conn, reader)
                async with asyncio.timeout(self._limits.round_trip_seconds):
                    again = await polling.looked(events)
                if not again:
                    if polling.seconds is None:
                        await reader.close()
                    await self._wait(conn, polling)
        finally:
            if self._sending is not None:
                self._sending.cancel()
                await asyncio.gather(self._sending, return_exceptions=True)
                self._sending = None
            await reader.close()
            await close(conn)

    async def _drain(self, conn: Connection, reader: BatchReader) -> int:
        """Sequence and publish until the inbox is empty; return how many events that made."""
        events = 0
        while not self._stopping:
            began, batch = time.monotonic(), self._batch
            try:
                async with asyncio.timeout(self._limits.round_trip_seconds):
                    done = await eventlog.sequence(conn, batch=batch)
            except TimeoutError:
                # The same again would take as long again.
                self._batch = max(1, batch // 2)
                raise
            self.answered = time.monotonic()
            if done is None:  # another worker, or somebody who prunes the log
                await self._sleep(BUSY_SECONDS)
                continue
            if self.answered - began < self._limits.round_trip_seconds / 4:
                self._batch = min(batch * 2, self._limits.batch_events)
            if done.count:
                metrics.NUMBERED.inc(done.count)
                metrics.BATCH_EVENTS.observe(done.count)
                metrics.BATCH_SECONDS.observe(self.answered - began)
            await self._publish(done, reader)
            events += done.count
            if done.count < batch:
                break
        await self._sent()
        return events

    async def _publish(self, done: Sequenced, reader: BatchReader) -> None:
        """Publish the events just sequenced; or the bare position, which shows up gaps."""
        if self._publisher.resting:
            return
        await self._sent()
        if done.events or not done.count:
            await self._send(Batch(done.epoch, done.last_seq, done.events))
        else:
            self._sending = asyncio.create_task(self._send_from_log(done, reader), name="publish")

    async def _send_from_log(self, done: Sequenced, reader: BatchReader) -> None:
        async with contextlib.aclosing(reader.pages(done)) as pages:
            async for page in pages:
                if not await self._send(Batch(done.epoch, page.upto, tuple(page.events))):
                    return

    async def _sent(self) -> None:
        """Return once nothing travels any more.

        The database numbers the next events while these are read, sealed and published.
        """
        sending, self._sending = self._sending, None
        if sending is not None:
            await sending

    async def _send(self, batch: Batch, *, to_epoch: str | None = None) -> bool:
        """Publish, and say whether that worked: if not, the hubs will read the log."""
        if not await self._publisher.publish(batch, to_epoch=to_epoch):
            metrics.PUBLISH_FAILURES.inc()
            return False
        self.published = time.monotonic()
        if batch.events:
            metrics.TO_PUBLISH.observe(self._gauges.lag(batch.events[0]))
            metrics.PUBLISHED_BYTES.inc(sum(len(event.body.encode()) for event in batch.events))
        return True

    async def _wait(self, conn: Connection, polling: Polling) -> None:
        """Return when the server has sent something, we are to stop, or it is time to look:
        after so many seconds, or at the next tick. Until then, say where the log stands.

        Not psycopg's `notifies()`: a statement inside its loop deadlocks, and outside of it
        every payload is kept in memory. Nobody here reads one, so they are dropped unread.
        """
        if polling.seconds is not None:
            await asyncio.sleep(polling.seconds)  # a NOTIFY would say what we know: there is much
        else:
            await self._wait_for_notify(conn, polling.longest_rest)
        conn.pgconn.consume_input()
        while conn.pgconn.notifies() is not None:
            pass

    async def _wait_for_notify(self, conn: Connection, longest_rest: float) -> None:
        look_at = time.monotonic() + min(self._limits.tick_seconds or math.inf, longest_rest)
        longest = min(ANNOUNCE_SECONDS, self._limits.round_trip_seconds)
        while not await self._readable(conn, min(longest, look_at - time.monotonic())):
            if time.monotonic() >= look_at:
                break
            await self._announce(conn)

    async def _announce(self, conn: Connection) -> None:
        """Without a look at the inbox; also to notice a server that has vanished without a word."""
        async with asyncio.timeout(self._limits.round_trip_seconds):
            state = await eventlog.state(conn)
        self.answered = time.monotonic()
        if not self._publisher.resting:
            await self._send(Batch(state.epoch, state.last_seq, ()))

    async def _readable(self, conn: Connection, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        loop.add_reader(conn.fileno(), self._wake.set)
        try:
            return await self._sleep(seconds)
        finally:
            loop.remove_reader(conn.fileno())

    async def _sleep(self, seconds: float) -> bool:
        """Sleep, and return True where something woke us before the time was up."""
        if not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        woken = self._wake.is_set()
        if not self._stopping:
            self._wake.clear()
        return woken


def _line(exc: BaseException) -> str:
    """Return the error in one line, with the mend where we know it."""
    if isinstance(exc, _NOT_MIGRATED):
        return "the database is not migrated to this version; run manage.py migrate"
    text = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
