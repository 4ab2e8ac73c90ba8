"""What a client gets: completeness, order, resumption, size; on the running system."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from psycopg.types.json import Jsonb

from tests.rows import add_execution, one, set_status
from tests.servers import Stack, wait_for
from tests.sse_client import open_stream


def test_it_gives_each_of_many_streams_everything(stack: Stack) -> None:
    token, count = stack.token(), 20
    with stack.sql() as conn, ThreadPoolExecutor(count) as pool:
        execution = add_execution(conn)

        def read() -> list[int]:
            with open_stream(stack.stream_url, token, execution_id=execution) as stream:
                return [e["version"] for e in stream.until(execution, "completed")]

        reading = [pool.submit(read) for _ in range(count)]
        wait_for(lambda: stack.metric("attune_streams") == count, "all streams to be open")
        for number in range(50):
            conn.execute(
                "UPDATE attune.execution SET enforcement = %s WHERE id = %s", [number, execution]
            )
        set_status(conn, execution, "completed")
        for future in reading:
            assert future.result() == list(range(2, 53))


def test_it_pushes_and_does_not_poll(own_stack: Stack) -> None:
    own_stack.processes["worker"].stop()
    own_stack.start_worker("tickless", ATTUNE_WORKER_TICK_SECONDS="0")
    tickless = own_stack.processes["tickless"]
    wait_for(lambda: "action=listen" in tickless.output, "the worker to listen")
    with (
        own_stack.sql() as conn,
        open_stream(own_stack.stream_url, own_stack.token()) as stream,
    ):
        for _ in range(3):
            execution = add_execution(conn)
            assert stream.next()["entity_id"] == execution


def test_it_streams_any_text_around_the_byte_limit(stack: Stack) -> None:
    results = [
        {"text": character * count}
        for character in ("a", "é", "漢", "😀", '"\\\r\n\u2028\x01')
        for count in (1, 600, 1500, 1990, 2000, 3000)
    ]
    with stack.sql() as conn:
        parent = add_execution(conn)
        with open_stream(stack.stream_url, stack.token(), parent=parent) as stream:
            for result in results:
                add_execution(conn, parent=parent, result=Jsonb(result))
            received = [stream.next() for _ in results]
    assert [event["data"]["result"] for event in received] == results
    assert not any("truncated" in event for event in received)


def test_it_streams_a_huge_result_as_truncated_and_the_detail_has_it_whole(stack: Stack) -> None:
    token, result = stack.token(), {"text": "x" * 1_000_000}
    with stack.sql() as conn:
        execution = add_execution(conn)
        with open_stream(stack.stream_url, token, execution_id=execution) as stream:
            conn.execute(
                "UPDATE attune.execution SET status = 'completed', result = %s WHERE id = %s",
                [Jsonb(result), execution],
            )
            event = stream.next()
    assert (event["truncated"], event["data"]["result"]) == (True, None)
    detail = httpx.get(
        f"{stack.url}/api/v1/executions/{execution}", headers={"Authorization": f"Bearer {token}"}
    )
    assert detail.json()["result"] == result


def test_it_streams_a_bulk_update(stack: Stack) -> None:
    with stack.sql() as conn:
        parent = add_execution(conn)
        conn.execute(
            "INSERT INTO attune.execution (action_ref, parent)"
            " SELECT 'tests.bulk', %s FROM generate_series(1, 10000)",
            [parent],
        )
        wait_for(
            lambda: one(conn, "SELECT count(*) FROM attune.execution_inbox") == 0, "an empty inbox"
        )
        with open_stream(stack.stream_url, stack.token(), parent=parent) as stream:
            conn.execute(
                "UPDATE attune.execution SET status = 'running' WHERE parent = %s", [parent]
            )
            seen = []
            while len(seen) < 10_000:
                event = stream.next()
                if event["op"] == "UPDATE":
                    seen.append(event)
    assert len({event["entity_id"] for event in seen}) == 10_000
    assert [e["seq"] for e in seen] == sorted({e["seq"] for e in seen})


def test_it_streams_nothing_of_a_rolled_back_transaction(stack: Stack) -> None:
    with stack.sql() as conn:
        execution = add_execution(conn)
        with open_stream(stack.stream_url, stack.token(), execution_id=execution) as stream:
            with pytest.raises(ZeroDivisionError), conn.transaction():
                set_status(conn, execution, "failed")
                raise ZeroDivisionError
            set_status(conn, execution, "running")
            event = stream.next()
    assert (event["version"], event["data"]["status"]) == (2, "running")


def test_it_resumes_where_a_client_left_off(stack: Stack) -> None:
    token = stack.token()
    with stack.sql() as conn:
        execution = add_execution(conn)
        with open_stream(stack.stream_url, token, execution_id=execution) as stream:
            set_status(conn, execution, "scheduled")
            last = stream.next_frame()
        for number in range(600):  # more than one page of the log
            conn.execute(
                "UPDATE attune.execution SET enforcement = %s WHERE id = %s", [number, execution]
            )
        with open_stream(stack.stream_url, token, resume=last.id, execution_id=execution) as stream:
            assert json.loads(stream.connected.data)["resumed"] is True
            assert stream.connected.id == last.id
            set_status(conn, execution, "running")
            seen = stream.until(execution, "running")
    assert [event["version"] for event in seen] == list(range(3, 604))


def test_it_takes_the_cursor_from_the_query_and_the_header_wins(stack: Stack) -> None:
    token = stack.token()
    with stack.sql() as conn:
        execution = add_execution(conn)
        set_status(conn, execution, "running")
        with open_stream(stack.stream_url, token, execution_id=execution) as stream:
            now = stream.connected.id
        query = {"execution_id": execution, "last_event_id": "earliest"}
        with open_stream(stack.stream_url, token, **query) as stream:
            assert [stream.next()["version"] for _ in range(2)] == [1, 2]
        with open_stream(stack.stream_url, token, resume=now, **query) as stream:
            assert stream.connected.id == now
            set_status(conn, execution, "failed")
            assert stream.until(execution, "failed")[-1]["version"] == 3


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [
        ("nonsense", "unknown_cursor"),
        ("beef-1", "epoch_changed"),
        ("EPOCH-9000000000", "ahead_of_log"),
    ],
)
def test_it_resets_a_client_whose_cursor_is_of_no_use(
    stack: Stack, cursor: str, reason: str
) -> None:
    with stack.sql() as conn:
        cursor = cursor.replace("EPOCH", one(conn, "SELECT epoch FROM attune.stream_state"))
        with open_stream(stack.stream_url, stack.token(), resume=cursor) as stream:
            assert json.loads(stream.connected.data)["resumed"] is False
            reset = stream.next_frame()
            assert reset.event == "reset"
            assert json.loads(reset.data)["reason"] == reason
            execution = add_execution(conn)
            assert stream.until(execution, "requested")
    assert reset.id == stream.connected.id


def test_it_resets_when_history_is_gone(own_stack: Stack) -> None:
    with own_stack.sql() as conn:
        for _ in range(3):
            add_execution(conn)
        wait_for(lambda: one(conn, "SELECT last_seq FROM attune.stream_state") == 3, "the log")
        conn.execute("DELETE FROM attune.execution_event WHERE seq <= 2")
        conn.execute("UPDATE attune.stream_state SET floor_seq = 2")
        epoch = one(conn, "SELECT epoch FROM attune.stream_state")
    own_stack.processes["web"].stop()  # it still has these events in its memory
    own_stack.start_web()
    own_stack.wait_ready()
    with open_stream(own_stack.stream_url, own_stack.token(), resume=f"{epoch}-1") as stream:
        frame = stream.next_frame()
        assert (frame.event, json.loads(frame.data)["reason"]) == ("reset", "history_gone")


def test_it_goes_on_after_the_worker_and_redis_were_killed(own_stack: Stack) -> None:
    with (
        own_stack.sql() as conn,
        open_stream(own_stack.stream_url, own_stack.token()) as stream,
    ):
        own_stack.processes.pop("worker").kill()
        execution = add_execution(conn)
        own_stack.start_worker("second")
        assert stream.next()["entity_id"] == execution
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'attune worker' AND datname = current_database()"
        )
        set_status(conn, execution, "running")
        assert stream.next()["version"] == 2
