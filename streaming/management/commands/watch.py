"""`manage.py watch`: follow executions from a terminal, a script or a pipe.

A client like any other: it needs the server's address and somebody's credentials, and no
database.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import sys
from argparse import ArgumentTypeError
from contextlib import aclosing
from io import TextIOWrapper
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from executions import parameters
from executions.filters import Filter
from executions.parameters import ParameterError
from streaming.client import AsyncClient, AttuneError, Event, PasswordTokens, Query, TokenProvider
from streaming.console.board import Board, exit_status
from streaming.console.outputs import LineOutput, live, now

REFUSED = 2
TIMED_OUT = 124  # as `timeout` has it; the other statuses: streaming/console/board.py
MOST_SECONDS = 366 * 86_400.0
MOVED_SECONDS = 0.5  # several moves that come together are one


class Command(BaseCommand):
    help = (
        "Follow executions until they end. Exit status: 0 completed; 1 failed, timeout or"
        " abandoned; 2 usage or access; 3 cancelled; 124 after --timeout."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", nargs="*", type=_id, help="executions to follow to their end")
        parser.add_argument(
            "--root", type=_id, metavar="ID", help="an execution with all its descendants"
        )
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            type=_filter,
            metavar="NAME=VALUE",
            help=f"whatever matches, without an end: {', '.join(parameters.FILTERS)}",
        )
        parser.add_argument("--json", action="store_true", help="one event a line, for pipes")
        parser.add_argument(
            "--wait-for", action="store_true", help="where the id does not exist yet, wait for it"
        )
        parser.add_argument(
            "--timeout", type=_seconds, metavar="SECONDS", help="end after so long, with 124"
        )
        parser.add_argument(
            "--url",
            default=settings.WATCH["url"],
            help="where attune is (ATTUNE_URL; %(default)s). Who you are: ATTUNE_TOKEN, or"
            " ATTUNE_USERNAME and ATTUNE_PASSWORD",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        asked = frozenset(options["id"]) or frozenset(filter(None, [options["root"]]))
        query = _query(options)
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # what this terminal cannot show
        board = Board(until_end=query.until_terminal, filter=_filter_of(options))
        try:
            asyncio.run(_main(query, board, options))
        except AttuneError as exc:
            raise CommandError(str(exc), returncode=REFUSED) from exc
        except TimeoutError:
            self.stderr.write(f"attune: not over after {options['timeout']:g} s")
            sys.exit(TIMED_OUT)
        except Stopped as exc:
            sys.exit(128 + exc.number)
        except BrokenPipeError:
            # Python would write what is left once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        sys.exit(exit_status(board.last, asked))


class Stopped(Exception):
    """By a signal."""

    def __init__(self, number: int) -> None:
        self.number = number


async def _main(query: Query, board: Board, options: dict[str, Any]) -> None:
    """Follow until the end; raises TimeoutError, Stopped and AttuneError."""
    task, numbers = asyncio.current_task(), list[int]()
    assert task is not None

    def stop(number: int) -> None:
        numbers.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        async with asyncio.timeout(options["timeout"]):
            await _follow(query, board, options)
    except asyncio.CancelledError:
        raise Stopped(numbers[0]) from None


async def _follow(query: Query, board: Board, options: dict[str, Any]) -> None:
    url = options["url"]
    async with AsyncClient(url, _credentials(url)) as client:
        console = Console(file=sys.stdout, highlight=False)
        if console.is_terminal and not console.is_dumb_terminal and not options["json"]:
            async with live(board, console):
                await _show(client, query, board, wait_for=options["wait_for"])
        else:
            output = LineOutput(sys.stdout, sys.stderr, as_json=options["json"])
            async for message in client.messages(query, wait_for=options["wait_for"]):
                board.take(message, now())
                output.tell(message)


async def _show(client: AsyncClient, query: Query, board: Board, *, wait_for: bool) -> None:
    """Keep the board right: begin anew where what is below an execution has moved with it."""
    roots = {int(value) for name, value in query.params() if name == "root"}
    while True:
        async with aclosing(client.messages(query, wait_for=wait_for)) as messages:
            async for message in messages:
                board.take(message, now())
                if isinstance(message, Event):
                    if message.op == "DELETE" and message.execution.id in roots:
                        roots.clear()  # asked for again, it would be unknown
                    if message.moved and roots:
                        break
            else:
                return
        await asyncio.sleep(MOVED_SECONDS)


def _query(options: dict[str, Any]) -> Query:
    """Return what to ask the server for; raises CommandError where that is not one thing."""
    ids, root, filters = options["id"], options["root"], options["filter"]
    if [bool(ids), bool(root), bool(filters)].count(True) != 1:
        raise CommandError("give an ID, or --root ID, or --filter NAME=VALUE", returncode=REFUSED)
    if filters:
        if options["wait_for"]:
            raise CommandError("--wait-for takes an ID or --root ID", returncode=REFUSED)
        names: dict[str, Any] = {n: [v for m, v in filters if m == n] for n, _ in filters}
        return Query(**names, snapshot=True)
    if root:
        return Query(root=root, snapshot=True, until_terminal=True)
    return Query(execution_id=ids, snapshot=True, until_terminal=True)


def _filter_of(options: dict[str, Any]) -> Filter:
    """Return what `--filter` says; raises CommandError where it is wrong."""
    values: dict[str, list[str]] = {}
    for name, value in options["filter"]:
        values.setdefault(name, []).append(value)
    try:
        return parameters.parse_filter(values)
    except ParameterError as exc:
        raise CommandError(str(exc), returncode=REFUSED) from exc


def _credentials(url: str) -> str | TokenProvider:
    watch = settings.WATCH
    if watch["token"]:
        return watch["token"]
    username, password = watch["username"], watch["password"]
    if username and not password and sys.stdin.isatty():
        password = getpass.getpass(f"Password of {username}: ")
    if not (username and password):
        raise CommandError(
            "who are you? Set ATTUNE_TOKEN, or ATTUNE_USERNAME and ATTUNE_PASSWORD",
            returncode=REFUSED,
        )
    return PasswordTokens(url, username, password)


def _id(text: str) -> int:
    try:
        (found,) = parameters.ids("id", {"id": [text]})
    except ValueError as exc:
        raise ArgumentTypeError(f"{text!r} is not an id") from exc
    return found


def _filter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if name not in parameters.FILTERS or not value:
        known = ", ".join(parameters.FILTERS)
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE with one of the names {known}")
    return name, value


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= MOST_SECONDS:  # also refuses nan
        raise ArgumentTypeError(f"{text!r} is not a number of seconds, from 0 to {MOST_SECONDS:g}")
    return seconds
