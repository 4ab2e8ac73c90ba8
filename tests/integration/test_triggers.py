"""What the database does by itself when somebody writes plain SQL."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from executions.status import STATUSES, TERMINAL
from tests.rows import (
    Connection,
    add_execution,
    column,
    events,
    inbox,
    one,
    sequence,
    set_status,
)


def payloads(conn: Connection, count: int) -> list[str]:
    return [n.payload for n in conn.notifies(timeout=10, stop_after=count)]


def test_it_records_insert_update_and_delete(conn: Connection) -> None:
    execution = add_execution(conn)
    set_status(conn, execution, "running")
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [execution])
    assert inbox(conn) == [
        (execution, 1, "INSERT", "requested", None),
        (execution, 2, "UPDATE", "running", "requested"),
        (execution, 3, "DELETE", "running", "running"),
    ]


def test_it_makes_no_event_of_an_update_that_changes_nothing(conn: Connection) -> None:
    execution = add_execution(conn)
    before = column(conn, execution, "updated")
    set_status(conn, execution, "requested")
    conn.execute("UPDATE attune.execution SET version = 99, updated = now()")
    assert len(inbox(conn)) == 1
    assert column(conn, execution, "version") == 1
    assert column(conn, execution, "updated") == before


def test_it_makes_no_event_of_a_rolled_back_change(conn: Connection) -> None:
    with pytest.raises(ZeroDivisionError), conn.transaction():
        add_execution(conn)
        raise ZeroDivisionError
    assert inbox(conn) == []


def test_it_keeps_times_and_version(conn: Connection) -> None:
    execution = add_execution(conn)
    assert column(conn, execution, "started") is None
    set_status(conn, execution, "running")
    started = column(conn, execution, "started")
    assert started == column(conn, execution, "updated")
    set_status(conn, execution, "completed")
    assert column(conn, execution, "started") == started
    assert column(conn, execution, "finished") == column(conn, execution, "updated")
    set_status(conn, execution, "running")  # run again
    assert column(conn, execution, "finished") is None
    assert column(conn, execution, "version") == 4


def test_it_takes_times_that_the_writer_gives(conn: Connection) -> None:
    execution = add_execution(
        conn, status="failed", started="2026-01-01T00:00Z", finished="2026-01-02T00:00Z"
    )
    lasted = column(conn, execution, "finished") - column(conn, execution, "started")
    assert lasted == timedelta(days=1)


@pytest.mark.parametrize("status", ["nonsense", "", "RUNNING", None])
def test_it_refuses_an_unknown_status_and_lists_the_valid_ones(
    conn: Connection, status: str | None
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        add_execution(conn, status=status)
    assert all(valid in str(caught.value.diag.message_hint) for valid in STATUSES)


def test_it_knows_the_same_statuses_as_the_code(conn: Connection) -> None:
    for status in STATUSES:
        execution = add_execution(conn, status=status)
        assert (column(conn, execution, "finished") is not None) == (status in TERMINAL)


def test_it_refuses_another_id_and_endless_times(conn: Connection) -> None:
    execution = add_execution(conn)
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="keeps its id"):
        conn.execute("UPDATE attune.execution SET id = id + 1 WHERE id = %s", [execution])
    with pytest.raises(psycopg.errors.CheckViolation, match="times_sane"):
        add_execution(conn, started="infinity")


def test_it_records_truncate_as_deletes(conn: Connection) -> None:
    executions = [add_execution(conn), add_execution(conn)]
    conn.execute("TRUNCATE attune.execution")
    assert [row[2] for row in inbox(conn)] == ["INSERT", "INSERT", "DELETE", "DELETE"]
    assert {row[0] for row in inbox(conn)[2:]} == set(executions)


def test_it_leaves_executions_when_their_action_or_parent_goes(conn: Connection) -> None:
    pack = one(conn, "INSERT INTO attune.pack (ref) VALUES ('tests') RETURNING id")
    action = one(
        conn,
        "INSERT INTO attune.action (ref, pack) VALUES ('tests.run', %s) RETURNING id",
        pack,
    )
    assert one(conn, "SELECT pack_ref FROM attune.action") == "tests"
    parent = add_execution(conn, action=action)
    child = add_execution(conn, parent=parent)
    conn.execute("DELETE FROM attune.pack")
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [parent])
    assert column(conn, child, "parent") is None
    assert [row[:3] for row in inbox(conn)[2:]] == [
        (parent, 2, "UPDATE"),
        (parent, 3, "DELETE"),
        (child, 2, "UPDATE"),
    ]


@pytest.mark.parametrize("notify", ["always", "adaptive"])
def test_the_table_itself_refuses_what_it_refuses(
    conn: Connection, database: str, notify: str
) -> None:
    if notify == "adaptive":
        conn.execute(
            "CREATE OR REPLACE FUNCTION attune.notify_adaptive_v1() RETURNS boolean"
            " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT true'"
        )
    add_execution(conn)
    for change, table, constraint in (
        ("action_ref = NULL", "execution", None),
        ("created = NULL", "execution", None),
        ("action_ref = ''", "execution", "execution_action_ref_length"),
        ("action_ref = repeat('x', 9000)", "execution", "execution_action_ref_length"),
        ("started = 'infinity'", "execution", "execution_times_sane"),
        ("created = '20000-01-01'", "execution", "execution_times_sane"),
        ("parent = 0", "execution", "execution_parent_fk"),
        ("status = 'lost'", "execution", "execution_status_valid"),
    ):
        with pytest.raises(psycopg.IntegrityError) as refused:
            conn.execute(f"UPDATE attune.execution SET {change}")
        told = refused.value.diag
        assert (told.table_name, told.constraint_name) == (table, constraint), change
    assert len(inbox(conn)) == 1


def test_nobody_else_may_attach_what_writes_events(conn: Connection, database: str) -> None:
    role = sql.Identifier(f"writer_{uuid4().hex[:12]}")
    functions = conn.execute(
        "SELECT oid::regprocedure::text, has_function_privilege('public', oid, 'EXECUTE')"
        " FROM pg_proc WHERE pronamespace = 'attune'::regnamespace AND prosecdef"
    ).fetchall()
    assert "attune.execution_changed_v1()" in dict(functions)
    assert not any(dict(functions).values()), functions
    conn.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        conn.execute(sql.SQL("GRANT USAGE ON SCHEMA attune TO {}").format(role))
        conn.execute(sql.SQL("SET ROLE {}").format(role))
        conn.execute("CREATE TEMP TABLE mine (id bigint, status text)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(
                "CREATE TRIGGER forged AFTER UPDATE ON mine FOR EACH ROW"
                " EXECUTE FUNCTION attune.execution_changed_v1()"
            )
    finally:
        conn.execute("RESET ROLE")
        conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


def test_it_tells_what_a_trigger_of_others_makes_of_a_row(conn: Connection) -> None:
    conn.execute(
        "CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.result := to_jsonb(NEW.status); RETURN NEW; END $$"
    )
    conn.execute(
        "CREATE TRIGGER wary BEFORE UPDATE ON attune.execution"
        " FOR EACH ROW EXECUTE FUNCTION public.audit()"
    )
    execution = add_execution(conn)
    set_status(conn, execution, "running")
    set_status(conn, execution, "running")  # which changes nothing any more
    conn.execute("ALTER TABLE attune.execution DISABLE TRIGGER wary")
    conn.execute("UPDATE attune.execution SET result = NULL")
    conn.execute("ALTER TABLE attune.execution ENABLE TRIGGER wary")
    set_status(conn, execution, "running")  # this time it does, but only by that trigger
    results = conn.execute("SELECT version, result FROM attune.execution_inbox ORDER BY id")
    assert results.fetchall() == [(1, None), (2, '"running"'), (3, None), (4, '"running"')]


def test_it_tells_a_change_before_the_one_that_a_trigger_makes_of_it(conn: Connection) -> None:
    conn.execute(
        "CREATE FUNCTION public.again() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN UPDATE attune.execution SET status = 'running' WHERE id = NEW.id;"
        " RETURN NULL; END $$"
    )
    conn.execute(
        "CREATE TRIGGER again AFTER UPDATE ON attune.execution FOR EACH ROW"
        " WHEN (NEW.status = 'scheduled') EXECUTE FUNCTION public.again()"
    )
    execution = add_execution(conn)
    set_status(conn, execution, "scheduled")
    assert inbox(conn)[1:] == [
        (execution, 2, "UPDATE", "scheduled", "requested"),
        (execution, 3, "UPDATE", "running", "scheduled"),
    ]


def test_it_works_for_a_writer_without_other_rights_or_search_path(
    conn: Connection, database: str
) -> None:
    execution = add_execution(conn)
    role = f"writer_{one(conn, 'SELECT oid FROM pg_database WHERE datname = current_database()')}"
    conn.execute(f"CREATE ROLE {role}")
    try:
        conn.execute(f"GRANT USAGE ON SCHEMA attune TO {role}")
        conn.execute(f"GRANT INSERT, UPDATE ON attune.execution TO {role}")
        with psycopg.connect(database, autocommit=True) as writer:
            writer.execute(f"SET ROLE {role}")
            writer.execute("SET search_path = pg_temp")
            writer.execute("SET TimeZone = 'Asia/Kolkata'")
            writer.execute("SET DateStyle = 'German'")
            writer.execute("INSERT INTO attune.execution (action_ref) VALUES ('tests.run')")
            writer.execute("UPDATE attune.execution SET status = 'running'")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                writer.execute("SELECT * FROM attune.execution_inbox")
        assert len(inbox(conn)) == 4
        sequence(conn)
        assert all(e["timestamp"].endswith("+00:00") for e in events(conn))
        assert execution == events(conn)[0]["entity_id"]
    finally:
        conn.execute(f"DROP OWNED BY {role}")
        conn.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("character", ["a", "é", "漢", "😀", '"', "\\", "\n"])
def test_it_never_makes_a_payload_that_notify_refuses(conn: Connection, character: str) -> None:
    conn.execute("LISTEN attune_notifications")
    size = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    for length in range(6800 // size, 8200 // size, max(1, 100 // size)):
        add_execution(conn, result=Jsonb({"text": character * length}))
        payload = payloads(conn, 1)[0]
        assert len(payload.encode()) < 8000
        data = json.loads(payload)
        if data.get("truncated"):
            assert data["data"]["result"] is None
            assert length * size > 6500  # not sooner than it has to
        else:
            assert data["data"]["result"] == {"text": character * length}
    sequence(conn)
    assert all("truncated" not in event for event in events(conn))


def test_it_never_makes_a_payload_that_notify_refuses_for_odd_refs(conn: Connection) -> None:
    conn.execute("LISTEN attune_notifications")
    for ref in ("\x01" * 255, "😀" * 255, '"' * 255):
        add_execution(conn, ref, result=Jsonb("x" * 7000))
        payload = payloads(conn, 1)[0]
        assert len(payload.encode()) < 8000
        assert json.loads(payload)["data"]["action_ref"] == ref


def test_it_commits_a_huge_result_and_marks_it_truncated(conn: Connection) -> None:
    conn.execute("LISTEN attune_notifications")
    add_execution(conn, result=Jsonb({"text": "x" * 1_000_000}))
    add_execution(conn, result=Jsonb(list(range(200_000))))
    sequence(conn)
    for event in [*map(json.loads, payloads(conn, 2)), *events(conn)]:
        assert event["truncated"] is True
        assert event["data"]["result"] is None


def test_it_says_null_is_not_truncated(conn: Connection) -> None:
    add_execution(conn, result=Jsonb(None))
    add_execution(conn, result=None)
    sequence(conn)
    assert [("truncated" in e, e["data"]["result"]) for e in events(conn)] == [(False, None)] * 2


def test_it_handles_a_bulk_update_after_a_single_one_in_one_session(conn: Connection) -> None:
    execution = add_execution(conn)
    set_status(conn, execution, "scheduled")  # plans the trigger's statement for one row
    conn.execute(
        "INSERT INTO attune.execution (action_ref)"
        " SELECT 'tests.run' FROM generate_series(1, 10000)"
    )
    # Quadratic work would take minutes here.
    conn.execute("SET statement_timeout = '30s'")
    conn.execute("UPDATE attune.execution SET status = 'running'")
    assert len(inbox(conn)) == 2 + 10_000 + 10_001


def test_it_survives_a_listener_that_stalls_and_fills_the_queue(
    conn: Connection, database: str
) -> None:
    """A full queue fails every commit that notifies (SQLSTATE 54000); ours must stop before."""
    execution = add_execution(conn)
    pages = int(one(conn, "SELECT current_setting('max_notify_queue_pages')"))
    changes = pages * 8192 // 400  # a payload takes more than 400 bytes: more than fit
    with psycopg.connect(database, autocommit=True) as stalled:
        stalled.execute("LISTEN attune_notifications")
        stalled.execute("BEGIN")
        stalled.execute("SELECT 1")
        conn.execute(
            f"""DO $$ BEGIN FOR i IN 1..{changes} LOOP
                UPDATE attune.execution SET enforcement = i WHERE id = {execution};
                COMMIT;
            END LOOP; END $$"""
        )
        assert 0.4 < one(conn, "SELECT pg_notification_queue_usage()") < 0.6
    assert len(inbox(conn)) == 1 + changes


def test_it_keeps_the_order_of_two_writers_of_one_row(conn: Connection, database: str) -> None:
    execution = add_execution(conn)
    with psycopg.connect(database) as first, psycopg.connect(database) as second:
        set_status(first, execution, "running")
        second.execute("SET lock_timeout = '10ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            set_status(second, execution, "failed")
        second.rollback()
        sequence(conn)
        first.commit()
        set_status(second, execution, "failed")
        second.commit()
    sequence(conn)
    assert [(e["seq"], e["version"]) for e in events(conn)] == [(1, 1), (2, 2), (3, 3)]
