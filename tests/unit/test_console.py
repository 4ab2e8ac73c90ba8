"""What `manage.py watch` makes of messages: its rows, its screen, its exit status."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO, TextIOWrapper
from typing import Any

from rich.console import Console

from executions.filters import Filter
from streaming.client import Connected, End, Event, Execution, Snapshot, Waiting
from streaming.console import board as boards
from streaming.console.board import Board, exit_status
from streaming.console.screen import Screen

NOON = datetime(2026, 1, 19, 12, tzinfo=UTC)
CONNECTED = Connected("5f1c-1", False, 15, None)


def execution(id: int, status: str = "running", **values: Any) -> Execution:
    started = None if status in ("requested", "scheduled") else NOON
    row = Execution(id, status, "demo.run", None, None, None, None, None, NOON, NOON, started, None)
    return replace(row, **values)


def event(id: int, status: str = "running", *, op: str = "UPDATE", **values: Any) -> Event:
    return Event(f"5f1c-{id}", op, 1, None, NOON, False, execution(id, status, **values), {})


def snapshot(*events: Event) -> Snapshot:
    return Snapshot("5f1c-1", events, True)


def board(*messages: Any, until_end: bool = True, **asked: Any) -> Board:
    made = Board(until_end=until_end, filter=Filter(**asked))
    for message in (CONNECTED, *messages):
        made.take(message, NOON)
    return made


def screen(board: Board, *, seconds: float = 0, height: int = 24, encoding: str = "utf-8") -> str:
    """Return what a terminal of this height shows so many seconds after noon."""
    out = TextIOWrapper(BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=out, width=80, height=height, force_terminal=True, color_system=None)
    console.print(Screen(board, NOON + timedelta(seconds=seconds)))
    out.seek(0)
    return out.read()


def shown(text: str) -> list[str]:
    return [line.split("#")[1].split()[0] for line in text.splitlines() if "#" in line]


def test_it_draws_each_row_below_its_parent() -> None:
    rows = [event(1), event(2, parent=1), event(3, parent=1), event(4, parent=2), event(9)]
    lines = screen(board(*rows), seconds=72).splitlines()
    guides = [line.split("#")[0][:-2] for line in lines[:5]]
    assert guides == ["", "", "├── ", "│   └── ", "└── "]
    assert shown("\n".join(lines)) == ["9", "1", "2", "4", "3"]
    assert lines[1].endswith("running     1 m 12 s") and lines[-1] == "live  5 running"


def test_it_counts_no_time_that_it_does_not_know_of() -> None:
    lost = board(event(1), Waiting("the connection ended", 2.0))
    lost.take(Waiting("connection refused", 4.0), NOON + timedelta(seconds=50))
    text = screen(lost, seconds=60)
    assert "○ #1" in text and "0 ms" in text
    assert "waiting… connection refused (1 m 0 s)" in text
    lost.take(CONNECTED, NOON)
    assert "1 m 0 s" in screen(lost, seconds=60) and "live" in screen(lost, seconds=60)


def test_it_shows_what_runs_where_there_is_no_room_for_all() -> None:
    rows = [event(n, "completed" if n < 30 else "running") for n in range(1, 34)]
    text = screen(board(*rows), height=10)
    assert sorted(shown(text)) == ["27", "28", "29", "30", "31", "32", "33"]
    assert len(text.splitlines()) == 9 and "… 26 not shown" in text


def test_it_draws_a_deep_tree() -> None:
    rows = [event(n, parent=n - 1 or None) for n in range(1, 3000)]
    assert "2997 not shown" in screen(board(*rows), height=5)


def test_it_keeps_to_what_a_terminal_can_show() -> None:
    row = event(1, action_ref="demo.\x1b[2J\rä")
    plain = screen(board(row, event(2, "failed")), encoding="ascii")
    assert "x #2" in plain and "\x1b" not in plain
    assert "demo.\ufffd[2J\ufffdä" in screen(board(row))


def test_it_drops_rows_that_no_longer_match() -> None:
    asked: dict[str, Any] = {"statuses": frozenset({"running"}), "packs": frozenset({"demo"})}
    asked |= {"parents": frozenset({7}), "roots": frozenset({5})}
    rows = [event(n, parent=7) for n in range(1, 6)]
    listed = board(*rows, until_end=False, **asked)
    assert list(listed.rows) == [1, 2, 3, 4, 5]
    for gone in (
        event(1, "completed", parent=7),
        event(2, op="DELETE", parent=7),
        event(3, parent=8),
        event(4, parent=7, action_ref="other.run"),
    ):
        listed.take(gone, NOON)
    assert list(listed.rows) == [5]


def test_it_forgets_what_is_over_first(monkeypatch: Any) -> None:
    monkeypatch.setattr(boards, "MAX_ROWS", 3)
    listed = board(
        *(event(n, "failed" if n % 2 else "running") for n in range(1, 7)), until_end=False
    )
    assert list(listed.rows) == [2, 4, 6] and listed.is_cut
    assert listed.last == {}


def test_it_begins_anew_with_a_snapshot() -> None:
    known = board(event(1), snapshot(event(3), event(2)))
    assert list(known.rows) == [2, 3]


def test_it_knows_the_end_from_either_side() -> None:
    told = board(event(1), End({1: "completed"}))
    known = board(event(1, "completed"), End({}))  # the server only said that it is over
    deleted = board(event(1), event(1, op="DELETE"), End({1: "running"}))
    assert [exit_status(b.last, [1]) for b in (told, known, deleted)] == [0, 0, 1]
    assert exit_status({1: "cancelled", 2: "completed"}, [1, 2]) == 3
    assert exit_status({}, [1]) == 1
