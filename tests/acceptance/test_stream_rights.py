"""What a stream may not send any more: rights that end, or are withdrawn, while it is open."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import LiteralString

import httpx
from httpx_sse import ServerSentEvent

from streaming.access import STALE_SECONDS
from tests.rows import Connection, add_execution, one, set_status
from tests.servers import Stack, StartStack, add_user, wait_for
from tests.sse_client import Stream, connected_stream, open_stream


def closing_of(stream: Stream) -> ServerSentEvent:
    """Return the frame that ends the stream."""
    return next(frame for frame in stream.frames if frame.event == "close")


@contextmanager
def locked(stack: Stack, table: LiteralString) -> Iterator[Callable[[], object]]:
    """Let nobody read the table until the yielded function is called."""
    with stack.sql() as conn:
        conn.execute("BEGIN")
        conn.execute(f"LOCK TABLE attune.{table} IN ACCESS EXCLUSIVE MODE")
        yield conn.rollback


def waiting(conn: Connection, table: str) -> int:
    """Return how many sessions wait for the table."""
    return int(
        one(
            conn,
            "SELECT count(*) FROM pg_locks"
            f" WHERE NOT granted AND relation = 'attune.{table}'::regclass",
        )
    )


def test_it_holds_events_back_while_rights_cannot_be_looked_up(start_stack: StartStack) -> None:
    own_stack = start_stack(ATTUNE_ACCESS_CHECK_SECONDS="0.2", ATTUNE_HEARTBEAT_SECONDS="1")
    with (
        own_stack.sql() as conn,
        open_stream(own_stack.stream_url, own_stack.token()) as stream,
    ):
        conn.execute("ALTER TABLE attune.auth_user RENAME TO away")
        wait_for(lambda: "action=check" in own_stack.processes["web"].output, "a failed look-up")
        for _ in range(7):  # heartbeats: longer than rights are good for
            next(stream.frames)
        execution = add_execution(conn)
        assert next(stream.frames).data == ""
        conn.execute("ALTER TABLE attune.away RENAME TO auth_user")
        assert stream.next()["entity_id"] == execution


def test_it_ends_streams_of_a_user_who_is_deactivated(stack: Stack) -> None:
    """And nobody else's, although all with one filter are written to together."""
    add_user(stack.database_url, "leaving")
    with (
        stack.sql() as conn,
        open_stream(stack.stream_url, stack.token("leaving")) as stream,
        open_stream(stack.stream_url, stack.token()) as other,
    ):
        execution = add_execution(conn)
        assert stream.until(execution, "requested")
        assert other.until(execution, "requested")
        conn.execute("UPDATE attune.auth_user SET is_active = false WHERE username = 'leaving'")
        frames = iter(stream.next_frame, None)
        closing = next(frame for frame in frames if frame is not None and frame.event == "close")
        set_status(conn, execution, "completed")
        assert other.until(execution, "completed")
        assert not [frame for frame in stream.frames if frame.data]
    assert json.loads(closing.data) == {"reason": "revoked", "reconnect": False}


def test_it_stops_sending_what_becomes_restricted(start_stack: StartStack) -> None:
    own_stack = start_stack(ATTUNE_ACCESS_CHECK_SECONDS="0.1")
    with (
        own_stack.sql() as conn,
        open_stream(own_stack.stream_url, own_stack.token()) as stream,
    ):
        conn.execute("INSERT INTO attune.pack (ref) VALUES ('vault')")
        shown = add_execution(conn, "vault.open")
        assert stream.next()["entity_id"] == shown
        conn.execute("UPDATE attune.pack SET restricted = true")

        def hidden() -> bool:
            add_execution(conn, "vault.open")
            marker = add_execution(conn, "other.run")
            seen = stream.until(marker, "requested")
            return [e["entity_id"] for e in seen] == [marker]

        wait_for(hidden, "the pack to be hidden", seconds=5)
        conn.execute("UPDATE attune.pack SET restricted = false")
        wait_for(lambda: not hidden(), "the pack to be shown again", seconds=5)


def test_it_sends_nothing_that_it_read_while_the_right_was_withdrawn(
    start_stack: StartStack,
) -> None:
    own_stack = start_stack(ATTUNE_ACCESS_CHECK_SECONDS="0.1", ATTUNE_RING_EVENTS="1")
    add_user(own_stack.database_url, "leaving")
    token, url = own_stack.token("leaving"), own_stack.stream_url
    with own_stack.sql() as conn:
        for _ in range(10):
            add_execution(conn)
        wait_for(lambda: own_stack.metric("attune_hub_events_total") == 10, "the hub")
        start = f"{one(conn, 'SELECT epoch FROM attune.stream_state')}-0"
        with (
            open_stream(url, token) as idle,
            locked(own_stack, "execution_event") as let_go,
            open_stream(url, token, resume=start) as reading,
        ):
            wait_for(lambda: waiting(conn, "execution_event"), "the stream to read the log")
            conn.execute("UPDATE attune.auth_user SET is_active = false")
            assert json.loads(closing_of(idle).data)["reason"] == "revoked"
            let_go()
            assert json.loads(reading.next_frame().data)["reason"] == "revoked"


def test_it_begins_with_no_state_that_it_read_while_rights_were_withdrawn(
    own_stack: Stack,
) -> None:
    """Reading the state may take longer than rights are good for."""
    add_user(own_stack.database_url, "leaving")
    url = own_stack.stream_url
    tokens = {"user": own_stack.token(), "left": own_stack.token("leaving")}

    def ask(token: str) -> str:
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(timeout=30.0) as client:
            request = {"headers": headers, "params": {"snapshot": "true"}}
            with connected_stream(client, url, **request) as stream:
                return stream.next_frame().data

    with own_stack.sql() as conn, ThreadPoolExecutor(2) as asking:
        conn.execute("INSERT INTO attune.pack (ref) VALUES ('vault')")
        shown, _ = add_execution(conn), add_execution(conn, "vault.open")
        with locked(own_stack, "execution") as let_go:
            answers = {name: asking.submit(ask, token) for name, token in tokens.items()}
            wait_for(lambda: waiting(conn, "execution") == 2, "both to read the state")
            conn.execute("UPDATE attune.pack SET restricted = true")
            conn.execute("UPDATE attune.auth_user SET is_active = false WHERE username = 'leaving'")
            old_at = time.monotonic() + STALE_SECONDS
            wait_for(lambda: time.monotonic() > old_at, "the rights to be too old")
            let_go()
            state = json.loads(answers["user"].result())
            assert [row["entity_id"] for row in state["executions"]] == [shown]
            refusal = str(answers["left"].exception())
            assert refusal.startswith("401"), refusal


def test_it_does_not_wait_for_the_end_of_what_becomes_restricted(
    start_stack: StartStack,
) -> None:
    own_stack = start_stack(ATTUNE_ACCESS_CHECK_SECONDS="0.1")
    with own_stack.sql() as conn:
        conn.execute("INSERT INTO attune.pack (ref) VALUES ('vault')")
        root = add_execution(conn, status="completed")
        add_execution(conn, "vault.open", parent=root)
        with open_stream(
            own_stack.stream_url, own_stack.token(), root=root, until="terminal"
        ) as stream:
            conn.execute("UPDATE attune.pack SET restricted = true")
            end = stream.next_frame()
            assert (end.event, json.loads(end.data)["executions"]) == (
                "end",
                [{"id": root, "status": "completed"}],
            )
