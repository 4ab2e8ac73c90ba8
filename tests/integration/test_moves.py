"""An execution that gets another action_ref or parent: what the log keeps of before."""

from __future__ import annotations

from typing import Any

from tests.rows import Connection, add_execution, log, one, sequence, set_status


def change(conn: Connection, execution: int, **columns: Any) -> None:
    assignments = ", ".join(f"{name} = %s" for name in columns)
    conn.execute(
        f"UPDATE attune.execution SET {assignments} WHERE id = %s", [*columns.values(), execution]
    )


def olds(conn: Connection, batch: int = 100_000) -> list[tuple[Any, ...]]:
    """Sequence, and return what the log's last events keep of before."""
    before = one(conn, "SELECT last_seq FROM attune.stream_state")
    sequence(conn, batch)
    return [
        (e.execution, e.old_action_ref, e.old_parent, e.old_ancestors and set(e.old_ancestors))
        for e in log(conn)
        if e.seq > before
    ]


def test_it_keeps_what_was_only_where_it_changed(conn: Connection) -> None:
    parent, child = add_execution(conn), add_execution(conn)
    set_status(conn, child, "running")
    change(conn, child, action_ref="tests.other")
    change(conn, child, parent=parent)
    change(conn, child, parent=parent, status="failed")
    change(conn, child, parent=None, action_ref="tests.run")
    change(conn, child, parent=None, action_ref="tests.run")  # no event
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [child])
    nothing = (child, None, None, None)
    assert olds(conn)[2:] == [
        nothing,
        (child, "tests.run", None, None),
        (child, None, None, []),
        nothing,
        (child, "tests.other", parent, {parent}),
        nothing,
    ]
    assert "old_parent" not in "".join(event.body for event in log(conn))


def test_it_knows_the_ancestors_of_before_and_of_after(conn: Connection) -> None:
    first, second = add_execution(conn), add_execution(conn)
    middle = add_execution(conn, parent=first)
    leaf = add_execution(conn, parent=middle)
    sequence(conn)
    change(conn, leaf, parent=second)
    assert olds(conn) == [(leaf, None, middle, {middle, first})]
    assert log(conn)[-1].ancestors == [second]


def test_it_knows_where_the_children_of_a_deleted_parent_were(conn: Connection) -> None:
    root = add_execution(conn)
    middle = add_execution(conn, parent=root)
    leaves = [add_execution(conn, parent=middle) for _ in range(3)]
    sequence(conn)
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [middle])
    told = [row for _ in range(4) for row in olds(conn, batch=1)]
    assert told[0] == (middle, None, None, None)
    assert sorted(told[1:]) == [(leaf, None, middle, {middle, root}) for leaf in leaves]


def test_it_knows_the_ancestors_of_a_tree_that_is_deleted_over_several_batches(
    conn: Connection,
) -> None:
    chain = [add_execution(conn)]
    for _ in range(4):
        chain.append(add_execution(conn, parent=chain[-1]))
    sequence(conn)
    conn.execute("DELETE FROM attune.execution")
    for _ in chain:
        sequence(conn, 1)
    told = {e.execution: set(e.ancestors or ()) for e in log(conn) if e.op == "DELETE"}
    assert told == {execution: set(chain[:depth]) for depth, execution in enumerate(chain)}


def test_it_takes_the_parent_from_thousands_of_children(conn: Connection) -> None:
    parent = add_execution(conn, parent=add_execution(conn))
    conn.execute(
        "INSERT INTO attune.execution (action_ref, parent)"
        " SELECT 'tests.run', %s FROM generate_series(1, 10000)",
        [parent],
    )
    change(conn, parent, enforcement=1)  # plans the trigger's statement for one row
    sequence(conn)
    conn.execute("SET statement_timeout = '30s'")  # quadratic work would take minutes
    conn.execute("DELETE FROM attune.execution WHERE id = %s", [parent])
    assert len([row for row in olds(conn) if row[2] == parent]) == 10_000


def test_it_still_serves_workers_of_before(conn: Connection) -> None:
    parent, child = add_execution(conn), add_execution(conn)
    change(conn, child, parent=parent)
    epoch = one(conn, "SELECT epoch FROM attune.stream_state")
    assert conn.execute("SELECT * FROM attune.sequence_v1(2)").fetchall() == [(epoch, 1, 2)]
    cursor = conn.execute("SELECT * FROM attune.sequence_v2(100)")
    (row,) = cursor.fetchall()
    assert [column.name for column in cursor.description or ()][-2:] == ["ancestors", "event"]
    assert row[:5] == (epoch, 3, 3, 3, child)
    assert log(conn)[-1].old_ancestors == []
    assert conn.execute("SELECT * FROM attune.sequence_v2(100)").fetchall() == [
        (epoch, 4, 3, *[None] * 10)
    ]
