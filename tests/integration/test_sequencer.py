from __future__ import annotations

import threading

import psycopg

from executions import eventlog
from executions.filters import Filter, log_where
from executions.positions import Position
from tests.rows import Connection, add_execution, events, inbox, one, sequence, set_status


def test_it_numbers_densely_in_batches(conn: Connection) -> None:
    for _ in range(5):
        add_execution(conn)
    epoch = one(conn, "SELECT epoch FROM attune.stream_state")
    assert sequence(conn, 2) == (epoch, 1, 2)
    assert sequence(conn, 2) == (epoch, 3, 4)
    assert sequence(conn, 2) == (epoch, 5, 5)
    assert sequence(conn, 2) == (epoch, 6, 5)  # nothing left
    assert [e["seq"] for e in events(conn)] == [1, 2, 3, 4, 5]
    assert inbox(conn) == []


def test_it_leaves_the_work_to_whoever_is_at_it(conn: Connection, database: str) -> None:
    add_execution(conn)
    with psycopg.connect(database) as other:
        other.execute("SELECT * FROM attune.stream_state FOR UPDATE")
        assert sequence(conn) is None
    assert sequence(conn) is not None


def test_it_delivers_a_late_committer_after_those_who_came_first(
    conn: Connection, database: str
) -> None:
    with psycopg.connect(database) as late:
        waiting = add_execution(late)
        done = add_execution(conn)
        sequence(conn)
        late.commit()
    sequence(conn)
    assert [(e["seq"], e["entity_id"]) for e in events(conn)] == [(1, done), (2, waiting)]


def test_it_loses_and_inverts_nothing_under_competing_writers_and_workers(
    conn: Connection, database: str
) -> None:
    executions = [add_execution(conn) for _ in range(5)]
    writers, rounds = 6, 40
    done = threading.Event()

    def write(number: int) -> None:
        with psycopg.connect(database, autocommit=True) as mine:
            for turn in range(rounds):
                target = executions[(number + turn) % len(executions)]
                mine.execute(
                    "UPDATE attune.execution SET enforcement = coalesce(enforcement, 0) + 1"
                    " WHERE id = %s",
                    [target],
                )

    def work() -> None:
        with psycopg.connect(database, autocommit=True) as mine:
            while not done.is_set():
                sequence(mine, 7)

    workers = [threading.Thread(target=work) for _ in range(2)]
    writing = [threading.Thread(target=write, args=[n]) for n in range(writers)]
    for thread in workers + writing:
        thread.start()
    for thread in writing:
        thread.join()
    done.set()
    for thread in workers:
        thread.join()
    while inbox(conn):
        sequence(conn)

    log = events(conn)
    assert [e["seq"] for e in log] == list(range(1, 5 + writers * rounds + 1))
    for execution in executions:
        versions = [e["version"] for e in log if e["entity_id"] == execution]
        assert versions == list(range(1, len(versions) + 1))


def test_it_starts_a_new_epoch_in_another_database(conn: Connection) -> None:
    def opened() -> tuple[str, int, str]:
        row = conn.execute("SELECT * FROM attune.stream_open_v1()").fetchone()
        assert row is not None
        return row

    add_execution(conn)
    sequence(conn)
    epoch, last_seq, _ = opened()
    assert opened() == (epoch, last_seq, epoch)
    conn.execute("UPDATE attune.stream_state SET origin = 'the database this was dumped from'")
    moved = opened()
    assert moved[0] != epoch
    assert moved[1:] == (1, epoch)


async def test_it_reads_pages_and_single_executions(conn: Connection, database: str) -> None:
    first, second = add_execution(conn), add_execution(conn)
    set_status(conn, first, "running")
    sequence(conn)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as reader:
        state = await eventlog.state(reader)
        assert (state.last_seq, state.floor_seq) == (3, 0)
        pages = {"upto": 10, "limit": 10, "max_bytes": 10_000}
        page = await eventlog.read(reader, after=1, **pages)
        assert [(e.seq, e.execution, e.op) for e in page.events] == [
            (2, second, "INSERT"),
            (3, first, "UPDATE"),
        ]
        assert page.upto == 10
        where = log_where(Filter(executions=frozenset({first})))
        own = await eventlog.read(
            reader, after=0, **pages, condition=where.condition, values=where.values
        )
        assert [e.seq for e in own.events] == [1, 3]
        cut = await eventlog.read(reader, after=0, **{**pages, "limit": 1})
        assert ([e.seq for e in cut.events], cut.upto) == ([1], 1)
        small = await eventlog.read(reader, after=0, **{**pages, "max_bytes": 500})
        assert ([e.seq for e in small.events], small.upto) == ([1, 2], 2)
        tiny = await eventlog.read(reader, after=0, **{**pages, "max_bytes": 1})
        assert ([e.seq for e in tiny.events], tiny.upto) == ([1], 1)


def test_it_writes_the_ancestors_of_each_event(conn: Connection) -> None:
    top = add_execution(conn)
    middle = add_execution(conn, parent=top)
    bottom = add_execution(conn, parent=middle)
    sequence(conn)
    conn.execute("UPDATE attune.execution SET parent = %s WHERE id = %s", [bottom, top])  # circle
    sequence(conn)
    rows = conn.execute("SELECT ancestors FROM attune.execution_event ORDER BY seq").fetchall()
    assert [row[0] and sorted(row[0]) for row in rows] == [
        None,
        [top],
        [top, middle],
        [top, middle, bottom],
    ]


def test_it_writes_and_reads_positions() -> None:
    assert Position.parse("5f1c-1042") == Position("5f1c", 1042)
    assert str(Position("5f1c", 1042)) == "5f1c-1042"
    for text in ("", "5f1c", "5f1c-", "-1", "5f1c-01", "5F1C-1", "5f1c-1\n", "x-1", "5f1c-1-2"):
        assert Position.parse(text) is None, text
    assert Position.parse(f"5f1c-{2**63}") is None


def test_it_knows_the_ancestors_of_what_is_deleted_together_with_them(conn: Connection) -> None:
    root = add_execution(conn)
    child = add_execution(conn, parent=root)
    grandchild = add_execution(conn, parent=child)
    sequence(conn)
    conn.execute("DELETE FROM attune.execution")
    sequence(conn)
    rows = conn.execute(
        "SELECT execution, ancestors FROM attune.execution_event WHERE op = 'DELETE'"
    ).fetchall()
    told = {execution: set(ancestors or ()) for execution, ancestors in rows}
    assert told == {root: set(), child: {root}, grandchild: {root, child}}


def test_it_knows_the_ancestors_by_what_it_takes_where_they_are_gone_already(
    conn: Connection,
) -> None:
    root = add_execution(conn)
    sequence(conn)
    child = add_execution(conn, parent=root)
    grandchild = add_execution(conn, parent=child)
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [child])
    sequence(conn, batch=2)  # the DELETE is not in it
    rows = conn.execute("SELECT execution, ancestors FROM attune.execution_event WHERE seq > 1")
    told = {execution: set(ancestors or ()) for execution, ancestors in rows.fetchall()}
    assert told == {child: {root}, grandchild: {root, child}}


def test_it_never_reads_a_table_through_though_its_plan_is_of_an_empty_one(
    conn: Connection,
) -> None:
    execution = add_execution(conn)
    child = add_execution(conn, parent=execution)
    for status in ("scheduled", "running", "completed") * 5:
        set_status(conn, child, status)
        sequence(conn)
    conn.execute("SELECT pg_stat_force_next_flush()")
    scans = conn.execute(
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = 'attune'"
        " AND relname IN ('execution', 'execution_event', 'execution_inbox')"
    )
    assert dict(scans.fetchall()) == {
        "execution": 0,
        "execution_event": 0,
        "execution_inbox": 0,
    }
