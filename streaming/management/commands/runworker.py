"""`manage.py runworker`: listen to PostgreSQL, sequence, publish.

Channels has a command of the same name; called with channel names, this one is that one.
"""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import Any

import uvloop
from channels.management.commands.runworker import Command as ChannelsCommand
from django.conf import settings
from django.core.management.base import CommandParser

from executions import database, figures
from executions.figures import Figures
from streaming.endpoint import WorkerProbes, serving
from streaming.gauges import DatabaseGauges
from streaming.layer import Layer
from streaming.listener import Listener, WorkerLimits
from streaming.publisher import Publisher


class Command(ChannelsCommand):  # type: ignore[misc]
    help = (
        "Sequence committed changes into the log and publish them to the web processes."
        " With channel names: run a Channels worker for them."
    )

    # They load every page there is; `check` makes them, and so does `doctor`.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        for action in parser._actions:
            if action.dest == "channels":
                action.nargs = "*"

    def handle(self, *args: Any, **options: Any) -> None:
        if options["channels"]:
            super().handle(*args, **options)
        else:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_listen())


async def _listen() -> None:
    limits = settings.ATTUNE
    async with Publisher(Layer.all()) as publisher:
        gauges = DatabaseGauges(_figures)
        listener = Listener(
            partial(database.connect, application="attune worker", direct=True),
            publisher,
            WorkerLimits(
                tick_seconds=limits.worker_tick_seconds,
                poll_events_per_second=limits.poll_events_per_second,
                round_trip_seconds=limits.round_trip_seconds,
                batch_events=limits.batch_events,
                message_bytes=limits.message_bytes,
            ),
            gauges=gauges,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, listener.stop)
        async with serving(settings.WORKER_METRICS, WorkerProbes(listener, gauges)):
            await listener.run()


async def _figures() -> Figures:
    """On a connection for it alone: the worker's own is not to wait for whoever asks."""
    async with await database.connect(application="attune metrics", direct=True) as conn:
        return await figures.read(conn)
