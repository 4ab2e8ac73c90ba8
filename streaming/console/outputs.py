"""Where `manage.py watch` tells what it hears: a live tree on a terminal, else lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console
from rich.live import Live

from streaming.client import Message
from streaming.console import lines
from streaming.console.board import Board
from streaming.console.screen import FRAME_SECONDS, Screen


class LineOutput:
    """A line for each event to `out`, and remarks on the connection to `err`."""

    def __init__(self, out: TextIO, err: TextIO, *, as_json: bool) -> None:
        self._out = out
        self._err = err
        self._line = lines.json_line if as_json else lines.text_line
        self._remarked: str | None = None

    def tell(self, message: Message) -> None:
        remark = lines.remark(message)
        if remark is not None and remark != self._remarked:  # once, not at each attempt
            self._err.write(f"attune: {remark}\n")
            self._err.flush()
            self._remarked = remark
        for event in lines.events(message):
            self._out.write(self._line(event) + "\n")
            self._remarked = None
        self._out.flush()


@asynccontextmanager
async def live(board: Board, console: Console) -> AsyncIterator[None]:
    """Draw the board for as long as the context lasts; its last state stays on the terminal."""
    with Live(
        console=console, auto_refresh=False, get_renderable=lambda: Screen(board, now())
    ) as screen:
        drawing = asyncio.create_task(_draw(screen), name="draw")
        try:
            yield
        finally:
            drawing.cancel()
            with suppress(asyncio.CancelledError):
                await drawing


async def _draw(screen: Live) -> None:
    while True:
        screen.refresh()
        await asyncio.sleep(FRAME_SECONDS)


def now() -> datetime:
    return datetime.now(UTC)
