"""The live form of `manage.py watch`: a tree, as a rich renderable. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from executions.durations import duration
from executions.status import STATUSES
from streaming.client import Execution
from streaming.console.board import Board

FRAME_SECONDS = 0.125
FOOTER_LINES = 3  # with a blank one, and one for the cursor
_STYLES = {
    "running": "blue",
    "completed": "green",
    "failed": "red",
    "canceling": "yellow",
    "cancelled": "yellow",
    "timeout": "dark_orange",
    "abandoned": "dim",
}


@dataclass(frozen=True, slots=True)
class Signs:
    """What stands in front of a line: for terminals with UTF-8, and for those without."""

    spinner: str
    by_status: dict[str, str]
    other: str
    branch: str
    last: str
    down: str
    dots: str


_UTF8 = Signs(
    "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏",
    dict.fromkeys(("failed", "timeout", "abandoned"), "✗") | {"completed": "✓", "cancelled": "⊘"},
    other="○",
    branch="├── ",
    last="└── ",
    down="│   ",
    dots="…",
)
_ASCII = Signs(
    "|/-\\",
    dict.fromkeys(("failed", "timeout", "abandoned"), "x") | {"completed": "+", "cancelled": "-"},
    other="o",
    branch="|-- ",
    last="`-- ",
    down="|   ",
    dots="...",
)


@dataclass(frozen=True, slots=True)
class Screen:
    """The board as it looks at `now`."""

    board: Board
    now: datetime

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        signs = _ASCII if options.ascii_only else _UTF8
        lines = list(_lines(self.board.rows, signs))
        shown = _fitting(lines, console.height - FOOTER_LINES)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, overflow="ellipsis", min_width=12)
        table.add_column(no_wrap=True, min_width=max(map(len, STATUSES)))
        table.add_column(no_wrap=True)
        for guide, row in shown:
            table.add_row(*self._cells(guide, row, signs))
        yield table
        yield self._footer(len(lines) - len(shown), signs)

    def _cells(self, guide: str, row: Execution, signs: Signs) -> tuple[Text, Text, Text]:
        style = _STYLES.get(row.status, "")
        label = Text.assemble(
            (guide, "dim"),
            (f"{self._sign(row, signs)} ", style),
            (f"#{row.id} ", "bold"),
            printable(row.action_ref),
        )
        return label, Text(row.status, style), Text(run_time(row, self.board.seen_at(self.now)))

    def _sign(self, row: Execution, signs: Signs) -> str:
        if row.status not in ("running", "canceling") or not self.board.connected:
            return signs.by_status.get(row.status, signs.other)
        return signs.spinner[int(self.now.timestamp() / FRAME_SECONDS) % len(signs.spinner)]

    def _footer(self, hidden: int, signs: Signs) -> Text:
        counts = Counter(row.status for row in self.board.rows.values())
        told = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
        if hidden or self.board.is_cut:
            more = f"{hidden} not shown" if hidden else "not all shown"
            told.append(f"{signs.dots} {more}")
        return Text.assemble("\n", self._link(signs), "  ", (", ".join(told), "dim"))

    def _link(self, signs: Signs) -> Text:
        waiting, since = self.board.waiting, self.board.waiting_since
        if self.board.connected:
            return Text("live", "green")
        if waiting is None or since is None:
            return Text(f"connecting{signs.dots}", "yellow")
        gone = duration(self.now - since)
        return Text(f"waiting{signs.dots} {printable(waiting.reason)} ({gone})", "yellow")


def run_time(row: Execution, now: datetime) -> str:
    """Return how long a run took, or has taken until `now`; empty where it has not begun."""
    if row.started is None or not (row.finished or row.status in ("running", "canceling")):
        return ""
    return duration((row.finished or now) - row.started)


def printable(text: str) -> str:
    """Return the text without what a terminal would obey; anybody may write an `action_ref`."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _lines(rows: dict[int, Execution], signs: Signs) -> Iterator[tuple[str, Execution]]:
    """Yield each row below its parent, with the guide in front of it."""
    children: dict[int | None, list[Execution]] = {}
    for row in rows.values():
        children.setdefault(row.parent if row.parent in rows else None, []).append(row)
    # Tops newest first, children in the order they were made; a stack, for depth has no limit.
    tops = sorted(children.get(None, ()), key=lambda row: row.id)
    stack = [("", "", row) for row in tops]
    while stack:
        guide, below, row = stack.pop()
        yield guide, row
        after = sorted(children.get(row.id, ()), key=lambda row: row.id, reverse=True)
        for place, child in enumerate(after):
            last = place == 0
            guides = (signs.last, "    ") if last else (signs.branch, signs.down)
            stack.append((below + guides[0], below + guides[1], child))


def _fitting(lines: list[tuple[str, Execution]], most: int) -> list[tuple[str, Execution]]:
    """Return as many lines as fit: what runs comes first, then what is newest."""
    if len(lines) <= most:
        return lines
    first = sorted(lines, key=lambda line: (line[1].ended, -line[1].id))
    kept = {row.id for _, row in first[: max(most, 1)]}
    return [line for line in lines if line[1].id in kept]
