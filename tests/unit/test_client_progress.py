"""What a client makes of frames: its cursor, what it takes twice, how long it waits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.status import TERMINAL
from streaming import filters
from streaming.client import errors, messages, query
from streaming.client.backoff import MOST_ASKED_SECONDS, MOST_SECONDS, Backoff
from streaming.client.parser import Frame
from streaming.client.progress import Progress

ROOT = Path(__file__).resolve().parent.parent.parent
TIME = "2026-01-19T05:02:14.188288+00:00"


def event(seq: int, *, epoch: str = "5f1c") -> Frame:
    data = {
        "op": "UPDATE",
        "version": seq,
        "old_status": "requested",
        "timestamp": TIME,
        "data": {
            "id": 1,
            "status": "running",
            "action_ref": "tests.run",
            "created": TIME,
            "updated": TIME,
        },
    }
    return Frame(data=json.dumps(data), id=f"{epoch}-{seq}")


def control(name: str, id: str, **data: Any) -> Frame:
    return Frame(name, json.dumps(data), id)


def connected(id: str, *, resumed: bool) -> Frame:
    return control("connected", id, resumed=resumed, heartbeat_seconds=15, expires_at=None)


def test_it_moves_its_cursor_by_events_and_heartbeats() -> None:
    progress = Progress(None, snapshot=False)
    cursors = []
    for frame in (connected("5f1c-1", resumed=False), event(2), Frame(id="5f1c-9")):
        progress.take(frame)
        cursors.append(progress.cursor)
    assert cursors == ["5f1c-1", "5f1c-2", "5f1c-9"]


def test_it_is_told_of_a_reset_again_where_the_connection_ended_before_it() -> None:
    progress = Progress("5f1c-7", snapshot=False)
    progress.take(connected("9a0b-3", resumed=False))
    assert progress.cursor == "5f1c-7"
    progress.take(control("reset", "9a0b-3", reason="epoch_changed"))
    assert progress.cursor == "9a0b-3"


def test_it_does_not_resume_from_before_a_snapshot_that_never_came() -> None:
    # A server sends no snapshot to a client that resumes, so this one must not.
    progress = Progress(None, snapshot=True)
    progress.take(connected("5f1c-7", resumed=False))
    assert progress.cursor is None
    progress.take(control("snapshot", "5f1c-7", executions=[], complete=True))
    assert progress.cursor == "5f1c-7"
    progress.take(control("reset", "aaaa-1", reason="epoch_changed"))
    assert progress.cursor is None
    progress.take(control("snapshot", "aaaa-1", executions=[], complete=True))
    assert progress.cursor == "aaaa-1"


def test_it_resumes_from_a_reset_where_there_is_no_snapshot_to_wait_for() -> None:
    progress = Progress("5f1c-7", snapshot=False)
    progress.take(control("reset", "aaaa-1", reason="epoch_changed"))
    assert progress.cursor == "aaaa-1"


@given(st.lists(st.integers(1, 30), max_size=60))
def test_it_takes_each_event_once_and_in_order(seqs: list[int]) -> None:
    progress = Progress("5f1c-3", snapshot=False)
    taken = [seq for seq in seqs if progress.take(event(seq)) is not None]
    assert taken == sorted(set(taken)) and all(seq > 3 for seq in taken)
    assert taken == [s for i, s in enumerate(seqs) if s > max([3, *seqs[:i]])]


def test_it_takes_an_event_of_another_epoch_whatever_its_number() -> None:
    progress = Progress("5f1c-30", snapshot=False)
    assert progress.take(event(1, epoch="aaaa")) is not None


@pytest.mark.parametrize("data", ["{}", "[]", "null", "x", '{"data":{"id":"x"}}'])
def test_it_says_what_it_cannot_read(data: str) -> None:
    with pytest.raises(errors.ProtocolError, match="cannot read a frame 'message'"):
        messages.decode(Frame(data=data))


@pytest.mark.parametrize(
    ("result", "expected"),
    [("1" + "0" * 5000, 10**5000), ("[" * 100_000 + "]" * 100_000, None)],
    ids=["digits", "deep"],
)
def test_it_reads_whatever_json_the_database_holds(result: str, expected: Any) -> None:
    known = event(7)
    assert known.data is not None
    data = known.data.replace('"created": ', f'"result":{result},"created":', 1)
    found = messages.decode(Frame(data=data.replace(', "result":', ',"result":'), id=known.id))
    assert isinstance(found, messages.Event)
    assert found.execution.result == expected
    assert found.truncated is (expected is None)


def test_it_overlooks_control_frames_of_a_later_server() -> None:
    assert Progress(None, snapshot=False).take(control("news", "5f1c-1")) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(100, 600_000))
def test_it_waits_longer_each_time_and_never_too_long(rolls: list[float], retry: int) -> None:
    rolled = iter(rolls)
    backoff = Backoff(lambda: next(rolled))
    backoff.connected(retry)
    for attempt in range(len(rolls)):
        full = min(retry / 1000 * 2**attempt, MOST_SECONDS)
        assert full / 2 <= backoff.next() <= full


@given(st.floats(0, 1), st.floats(0, 10_000))
def test_it_never_comes_back_earlier_than_asked(roll: float, asked: float) -> None:
    assert Backoff(lambda: roll).next(asked) >= min(asked, MOST_ASKED_SECONDS)


def test_it_begins_anew_once_it_is_connected() -> None:
    backoff = Backoff(lambda: 1.0)
    backoff.connected(1000)
    assert [backoff.next(), backoff.next(), backoff.next()] == [1, 2, 4]
    backoff.connected(500)
    assert backoff.next() == 0.5


def test_it_knows_every_parameter_and_every_end_of_the_server() -> None:
    assert {name.replace("until_terminal", "until") for name in query.PARAMETERS} == set(
        filters.PARAMETERS
    )
    assert set(TERMINAL) == messages.TERMINAL
    asked = query.Query(execution_id=iter([1, 2]), status="running", until_terminal=True)
    assert asked.params() == asked.params() != ()
    given: dict[str, list[str]] = {}
    for name, value in asked.params():
        given.setdefault(name, []).append(value)
    assert filters.parse(given).filter.executions == {1, 2}


@pytest.mark.parametrize("copied", [False, True])
def test_it_needs_neither_django_nor_attune(copied: bool, tmp_path: Path) -> None:
    folder = "streaming.client"
    blocked = ["django", "rest_framework", "channels", "executions", "attune"]
    if copied:
        (tmp_path / "elsewhere").symlink_to(ROOT / "streaming/client")
        folder = "elsewhere"
        blocked.append("streaming")
    program = f"""
import sys
for name in {blocked!r}:
    sys.modules[name] = None  # which makes its import fail
import {folder} as client
with client.Client("http://127.0.0.1:9", "token") as attune:
    first = next(attune.messages(client.Query(root=1)))
assert isinstance(first, client.Waiting)
"""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=True,
        env={"PYTHONPATH": str(tmp_path if copied else ROOT)},
        cwd=tmp_path,
    )
