from __future__ import annotations

import pytest

from executions.eventlog import LogState
from executions.positions import Position
from streaming.beginning import Start, start_at

STATE = LogState("5f1c", last_seq=100, floor_seq=40)
NOW = Position("5f1c", 100)


@pytest.mark.parametrize(
    ("cursor", "start"),
    [
        (None, Start(NOW)),
        ("now", Start(NOW)),
        ("earliest", Start(Position("5f1c", 40), resumed=True, knows_before=False)),
        ("5f1c-100", Start(NOW, resumed=True)),
        ("5f1c-40", Start(Position("5f1c", 40), resumed=True)),
        ("5f1c-39", Start(NOW, reset_reason="history_gone")),
        ("5f1c-101", Start(NOW, reset_reason="ahead_of_log")),
        ("beef-50", Start(NOW, reset_reason="epoch_changed")),
        ("nonsense", Start(NOW, reset_reason="unknown_cursor")),
        ("", Start(NOW, reset_reason="unknown_cursor")),
        ("5f1c-50\n", Start(NOW, reset_reason="unknown_cursor")),
    ],
)
def test_it_starts_where_nothing_is_missed_or_says_so(cursor: str | None, start: Start) -> None:
    assert start_at(cursor, STATE) == start
