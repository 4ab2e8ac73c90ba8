"""What a writer in plain SQL may store and Python cannot hold: nobody's request fails by it."""

from __future__ import annotations

import httpx
import psycopg
import pytest

from tests.rows import add_execution, one
from tests.servers import Stack
from tests.sse_client import open_stream

DEEP = 3000

# As jsonb, and something of it that has to be in the answer.
ODD = {
    "digits": ("'1e5000'", "1" + "0" * 5000),
    "fraction": ("'0.1234567890123456789012345'", "0.1234567890123456789012345"),
    "beyond a float": ("'1' || repeat('0', 400) || '.5'", "0" * 400 + ".5"),
    "deep": (f"repeat('[', {DEEP}) || repeat(']', {DEEP})", "[" * DEEP + "]" * DEEP),
    "keys": ("""'{"": 1, "\\u2028": 2, "a\\"b": 3}'""", '{"":'),
    "null": ("'null'", "null"),
}


def client(stack: Stack, user: str = "alice") -> httpx.Client:
    headers = {"Authorization": f"Bearer {stack.token(user)}"}
    return httpx.Client(base_url=f"{stack.url}/api/v1/", headers=headers, timeout=30)


def written(answer: httpx.Response) -> str:
    assert answer.status_code in (200, 201), answer.text
    return answer.text.replace(" ", "")


# On a stack of their own: other tests' clients are in Python.


def test_it_passes_on_whatever_json_the_database_holds(own_stack: Stack) -> None:
    with (
        own_stack.sql() as conn,
        client(own_stack) as api,
        open_stream(own_stack.stream_url, own_stack.token()) as stream,
    ):
        for value, shown in ODD.values():
            execution = one(
                conn,
                "INSERT INTO attune.execution (action_ref, config, result) SELECT 'odd.run',"
                f" v::jsonb, v::jsonb FROM (SELECT {value}) t (v) RETURNING id",
            )
            path = f"executions/{execution}"
            assert shown in written(api.get(path))
            assert shown in written(api.get("executions"))
            event = next(f for f in stream.frames if f.data and f'"id":{execution},' in f.data)
            assert shown in event.data.replace(" ", "")
            assert shown in written(api.get(f"{path}/events"))
            assert shown in written(api.patch(path, json={"status": "running"}))
            assert api.patch(path, json={"status": "failed", "version": 1}).status_code == 409
            assert shown in written(api.patch(path, json={"status": "completed"}))
            assert api.patch(path, json={"status": "completed"}).status_code == 200
            assert api.patch(path, json={"result": 1}).status_code == 409
            assert api.post(f"{path}/cancel").status_code == 409


def test_it_tells_of_whatever_goes_out_of_sight(own_stack: Stack) -> None:
    with own_stack.sql() as conn:
        conn.execute("INSERT INTO attune.pack (ref, restricted) VALUES ('vault', true)")
        ids = [
            one(
                conn,
                "INSERT INTO attune.execution (action_ref, result) SELECT 'odd.run', v::jsonb"
                f" FROM (SELECT {value}) t (v) RETURNING id",
            )
            for value, _ in ODD.values()
        ]
        with open_stream(own_stack.stream_url, own_stack.token(), pack="odd") as stream:
            for execution in ids:
                conn.execute(
                    "UPDATE attune.execution SET action_ref = 'vault.run' WHERE id = %s",
                    [execution],
                )
                gone = stream.next()
                assert (gone["op"], gone["entity_id"], gone["data"]["result"]) == (
                    "DELETE",
                    execution,
                    None,
                )


def test_it_lists_packs_and_actions_with_whatever_they_hold(own_stack: Stack) -> None:
    with own_stack.sql() as conn, client(own_stack) as api:
        pack = one(
            conn,
            "INSERT INTO attune.pack (ref, config, meta, conf_schema, tags)"
            " VALUES ('oddpack', '1e5000', '1e5000', '1e5000', '{{a,NULL},{b,c}}') RETURNING id",
        )
        conn.execute(
            "INSERT INTO attune.action (ref, pack, param_schema, out_schema)"
            " VALUES ('oddpack.run', %s, '{\"maximum\": 1e5000}', '1e5000')",
            [pack],
        )
        (shown,) = api.get("packs?ref=oddpack").json()["results"]
        assert shown["ref"] == "oddpack"
        assert "0" * 5000 in written(api.get("actions?ref=oddpack.run"))
        refused = api.post("executions", json={"action_ref": "oddpack.run"})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
        assert "param_schema" in refused.json()["errors"]["config"][0]


@pytest.mark.parametrize("table", ["pack", "action"])
def test_it_lets_no_time_in_that_is_none(stack: Stack, table: str) -> None:
    with stack.sql() as conn:
        conn.execute("INSERT INTO attune.pack (ref) VALUES ('timepack') ON CONFLICT DO NOTHING")
        conn.execute(
            "INSERT INTO attune.action (ref, pack) SELECT 'timepack.run', id FROM attune.pack"
            " WHERE ref = 'timepack' ON CONFLICT DO NOTHING"
        )
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute(
                f"UPDATE attune.{table} SET created = 'infinity' WHERE ref LIKE 'timepack%'"
            )


@pytest.mark.parametrize(
    "body",
    [
        '{"\\ud800": 1}',
        '{"action_ref": "\\udfff"}',
        '{"action_ref": "core.run", "config": ' + "[" * 990 + "]" * 990 + "}",
        '{"action_ref": "core.run", "config": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"action_ref": "core.run", "config": ' + "9" * 5000 + "}",
        '{"action_ref": "core.run", "config": 1e999}',
        '{"action_ref": "core.run", "config": NaN}',
        '{"action_ref": "core.run", "parent": ' + "9" * 4000 + "}",
        '{"action_ref": {"a": [1]}, "config": 1}',
        "[]",
        "null",
        '"text"',
    ],
)
def test_it_refuses_a_body_that_nobody_could_store(stack: Stack, body: str) -> None:
    with client(stack) as api:
        answer = api.post("executions", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] in ("invalid", "parse_error")


def test_it_stores_what_is_nested_as_deep_as_it_takes(own_stack: Stack) -> None:
    with own_stack.sql() as conn, client(own_stack) as api:
        execution = add_execution(conn)
        for depth in range(50, 1000, 50):
            body = '{"result": ' + "[" * depth + "]" * depth + "}"
            answer = api.patch(
                f"executions/{execution}",
                content=body,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code in (200, 400), (depth, answer.text)
            stored = "[" * depth + "]" * depth in answer.text
            assert stored is (answer.status_code == 200)
