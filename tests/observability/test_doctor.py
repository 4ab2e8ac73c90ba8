"""`manage.py doctor` as an operator runs it: each thing broken for real, and its advice taken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from attune.local.redis import EmbeddedRedis
from streaming.doctor import layer
from tests.programs import program
from tests.rows import Connection, add_execution, one, set_status
from tests.servers import PROJECT, Stack, product_env, wait_for

EXIT = {"ok": 0, "warning": 1, "error": 2}


class Report:
    """What it found, by check."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.status: str = told["status"]
        self.findings: list[dict[str, str]] = told["findings"]

    def of(self, check: str) -> list[dict[str, str]]:
        return [finding for finding in self.findings if finding["check"] == check]

    def wrong(self, check: str, text: str) -> str:
        """Return the advice of what is wrong there with this in its text."""
        found = [f for f in self.of(check) if f["level"] != "ok" and text in f["detail"]]
        assert len(found) == 1 and found[0]["advice"], (check, text, self.of(check))
        return found[0]["advice"]

    @property
    def bad(self) -> list[dict[str, str]]:
        return [finding for finding in self.findings if finding["level"] != "ok"]


def doctor(env: dict[str, str], *options: str, before: tuple[str, ...] = ()) -> Report:
    """Run it and hold its exit status against what it says."""
    command = [*before, sys.executable, "manage.py", "doctor", "--json", *options]
    done = subprocess.run(
        command, env=env | {"ATTUNE_HTTPS": "true"}, cwd=PROJECT, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    report = Report(json.loads(done.stdout))
    assert done.returncode == EXIT[report.status]
    assert all(bool(f["advice"]) == (f["level"] != "ok") for f in report.findings)
    return report


def test_it_finds_nothing_where_all_is_well_and_times_a_change(own_stack: Stack) -> None:
    report = doctor(own_stack.env, "--url", own_stack.url, "--token", own_stack.token())
    assert report.bad == []
    checks = {finding["check"] for finding in report.findings}
    assert checks == {
        *("settings", "migrations", "database", "triggers", "grants", "log", "epoch", "inbox"),
        *("notify queue", "connections", "clock", "worker", "listen", "layer", "redis", "heard"),
        "canary",
    }
    with own_stack.sql() as conn:
        rows = conn.execute("SELECT action_ref, status, config, result FROM attune.execution")
        ((action_ref, status, config, result),) = rows.fetchall()
    assert (action_ref, status) == ("attune.doctor", "completed")
    assert config == result == {"canary": "made by manage.py doctor, to time one change"}


@pytest.fixture
def conn_to(database: str, redis_server: EmbeddedRedis) -> Iterator[Connection]:
    """A database without a worker."""
    with psycopg.connect(database, autocommit=True) as conn:
        yield conn


def test_it_finds_what_is_wrong_with_triggers_and_its_advice_helps(
    conn_to: Connection, database: str
) -> None:
    conn_to.execute("DROP TRIGGER execution_deleted ON attune.execution")
    conn_to.execute("ALTER TABLE attune.execution DISABLE TRIGGER execution_inserted")
    conn_to.execute(
        "CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution"
        " REFERENCING NEW TABLE AS changed_rows OLD TABLE AS old_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_updated_v2()"
    )
    conn_to.execute("ALTER FUNCTION attune.execution_truncate_v1() SECURITY INVOKER")
    untold = add_execution(conn_to)  # while its trigger is off
    report = doctor(product_env(database))
    advice = [
        report.wrong("triggers", "execution_deleted is missing"),
        report.wrong("triggers", "execution_inserted is disabled"),
        report.wrong("triggers", "calls execution_updated_v2, and this version wants"),
        report.wrong("triggers", "execution_truncate_v1, which is not SECURITY DEFINER"),
    ]
    assert f"{untold} (version 1)" in report.of("log")[0]["detail"]
    assert "change them once more" in report.wrong("log", "made no event")
    assert "manage.py runworker" in report.wrong("worker", "none is connected")
    assert "start one" in report.wrong("heard", "no worker")
    assert report.status == "error"
    for text in advice:
        statement = text[min(text.find(word) % 10_000 for word in ("CREATE ", "ALTER ")) :]
        conn_to.execute(statement.partition(";")[0])
    set_status(conn_to, untold, "running")  # as it was advised
    better = doctor(product_env(database))
    assert [f["level"] for f in better.of("triggers")] == ["ok"]
    assert [f["level"] for f in better.of("log")] == ["ok"]


def test_it_finds_a_trigger_of_which_no_event_tells(conn_to: Connection, database: str) -> None:
    conn_to.execute(
        "CREATE FUNCTION public.mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    )
    for name, when in (("mine", "BEFORE"), ("zzzz", "AFTER"), ("zzzy", "BEFORE")):
        conn_to.execute(
            f"CREATE TRIGGER {name} {when} UPDATE ON attune.execution"
            " FOR EACH ROW EXECUTE FUNCTION public.mine()"
        )
    report = doctor(product_env(database))
    assert report.status == "error"
    conn_to.execute(report.wrong("triggers", "zzzy fires after"))
    found = doctor(product_env(database)).of("triggers")
    assert [finding["level"] for finding in found] == ["ok", "ok"]
    assert "a_zzzy, mine, zzzz" in found[1]["detail"]


def test_it_finds_an_update_that_nothing_has_counted(conn_to: Connection, database: str) -> None:
    told, untold = add_execution(conn_to), add_execution(conn_to)
    conn_to.execute("SELECT attune.sequence_v4(10)")
    conn_to.execute("ALTER TABLE attune.execution DISABLE TRIGGER zzz_execution_changed")
    set_status(conn_to, untold, "running")
    conn_to.execute("ALTER TABLE attune.execution ENABLE TRIGGER zzz_execution_changed")
    set_status(conn_to, told, "running")
    advice = doctor(product_env(database)).wrong("log", f"{untold} (version 1)")
    assert "change them once more" in advice
    assert f"{told} (version" not in str(doctor(product_env(database)).of("log"))


def test_it_finds_triggers_of_another_version(conn_to: Connection, database: str) -> None:
    conn_to.execute(
        "CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution FOR EACH ROW"
        " WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION attune.execution_updated_v5()"
    )
    advice = doctor(product_env(database)).wrong("triggers", "execution_updated is another than")
    conn_to.execute(advice[advice.index("CREATE ") :])
    assert [f["level"] for f in doctor(product_env(database)).of("triggers")] == ["ok"]


def test_it_finds_a_log_an_inbox_and_migrations_that_do_not_fit(
    conn_to: Connection, database: str
) -> None:
    for _ in range(3):
        add_execution(conn_to)
    conn_to.execute("SELECT attune.stream_open_v1()")
    conn_to.execute("SELECT attune.sequence_v4(10)")
    conn_to.execute("DELETE FROM attune.execution_event WHERE seq = 2")
    conn_to.execute("UPDATE attune.stream_state SET origin = 'another/1/2'")
    add_execution(conn_to)
    conn_to.execute("UPDATE attune.execution_inbox SET recorded = recorded - interval '1 minute'")
    conn_to.execute("DELETE FROM attune.django_migrations WHERE name = '0007_moves'")
    conn_to.execute(
        "INSERT INTO attune.django_migrations (app, name, applied)"
        " VALUES ('executions', '0999_later', now())"
    )
    report = doctor(product_env(database) | {"ATTUNE_RESULT_MAX_BYTES": "1000"})
    assert "from one backup" in report.wrong("log", "1 of the newest are missing")
    assert "start a worker" in report.wrong("epoch", "another/1/2")
    assert "AttuneInboxGrowing" in report.wrong("inbox", "1 changes wait, the oldest for 6")
    assert "manage.py migrate" in report.wrong("migrations", "executions.0007_moves")
    assert "install the version" in report.wrong("migrations", "executions.0999_later")
    assert "manage.py migrate" in report.wrong("settings", "the triggers have 65536")


def test_it_finds_rights_that_are_missing_and_says_how_to_give_them(
    conn_to: Connection, database: str
) -> None:
    role = f"doctor_{uuid4().hex[:12]}"
    name = sql.Identifier(role)
    parts = conninfo_to_dict(database)
    env = product_env(f"postgresql://{role}@/{parts['dbname']}?host={parts['host']}")
    conn_to.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    try:
        report = doctor(env)
        assert "GRANT USAGE ON SCHEMA attune TO" in report.wrong("grants", "USAGE")
        for grant in (
            "USAGE ON SCHEMA attune",
            "ALL ON ALL TABLES IN SCHEMA attune",
        ):
            conn_to.execute(sql.SQL(f"GRANT {grant} TO {{}}").format(name))
        conn_to.execute(sql.SQL("REVOKE UPDATE ON attune.stream_state FROM {}").format(name))
        conn_to.execute("REVOKE EXECUTE ON FUNCTION attune.sequence_v4 FROM PUBLIC")
        advice = doctor(env).wrong("grants", "UPDATE ON attune.stream_state")
        assert advice.count("GRANT") == 2
        for statement in filter(None, advice.split(";")):
            conn_to.execute(statement)
        assert [f["level"] for f in doctor(env).of("grants")] == ["ok"]
    finally:
        conn_to.execute(sql.SQL("DROP OWNED BY {}").format(name))
        conn_to.execute(sql.SQL("DROP ROLE {}").format(name))


def test_it_finds_the_redis_that_is_away(own_stack: Stack, tmp_path: Path) -> None:
    second = EmbeddedRedis(tmp_path / "second")
    second.start()
    redis = f"{product_env('')['REDIS_URL']},{second.url}"
    try:
        both = doctor(own_stack.env | {"REDIS_URL": redis})
        # Not "ok": one that answers slowly, as on a machine that is busy, is a warning.
        assert [f["level"] == "error" for f in both.of("redis")] == [False, False]
        second.stop()
        report = doctor(own_stack.env | {"REDIS_URL": redis})
        assert [f["level"] == "error" for f in report.of("redis")] == [False, True]
        assert "REDIS_URL" in report.wrong("redis", "Redis 2")
    finally:
        second.close()


def test_it_finds_settings_that_are_not_safe_and_no_database(tmp_path: Path) -> None:
    env = product_env("postgresql://postgres@/attune?host=/nonexistent") | {
        "ATTUNE_DEBUG": "true",
        "ATTUNE_ALLOWED_HOSTS": "*",
        "REDIS_URL": "redis://192.0.2.1:1",
    }
    command = [sys.executable, "manage.py", "doctor"]
    done = subprocess.run(command, env=env, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    for text, advice in (
        ("ATTUNE_DEBUG is on", "ATTUNE_DEBUG=false"),
        ("ATTUNE_ALLOWED_HOSTS is *", "name the hosts"),
        ("ATTUNE_HTTPS is off", "ATTUNE_HTTPS=true"),
        ("REDIS_URL has no password", "redis://:password@host"),
        ("cannot connect", "DATABASE_URL"),
        ("Redis 1 (192.0.2.1:1)", "REDIS_URL"),
    ):
        (number,) = [n for n, line in enumerate(lines) if text in line]
        assert "->" in lines[number + 1] and advice in lines[number + 1]
    refused = subprocess.run(
        command, env=env | {"ATTUNE_DEBUG": "perhaps"}, cwd=PROJECT, capture_output=True, text=True
    )
    assert refused.returncode == 2 and "ATTUNE_DEBUG" in refused.stderr


def test_it_finds_a_clock_that_is_wrong(conn_to: Connection, database: str) -> None:
    faketime = program("faketime")
    report = doctor(product_env(database), before=(faketime, "-f", "-90s"))
    assert "NTP" in report.wrong("clock", "ahead of ours")
    assert report.of("clock")[0]["level"] == "error"


def test_it_says_when_no_worker_is_heard(own_stack: Stack) -> None:
    """One that has another key is connected, and what it publishes is for others."""
    key = "another key for tests only, long enough for Django's own checks"
    report = doctor(own_stack.env | {"ATTUNE_SECRET_KEY": key})
    assert [f["level"] for f in report.of("worker")] == ["ok"]
    assert "ATTUNE_SECRET_KEY" in report.wrong("heard", "no worker through the channel layer")


def test_it_says_when_no_event_comes(own_stack: Stack) -> None:
    token = own_stack.token()
    wrong = doctor(own_stack.env, "--url", own_stack.url, "--token", "nonsense")
    assert "credentials" in wrong.wrong("canary", "no stream from")
    worker = own_stack.processes["worker"]
    worker.stop()
    with own_stack.sql() as conn:
        report = doctor(own_stack.env, "--url", own_stack.url, "--token", token)
        assert "readyz" in report.wrong("canary", "no event within")
        assert "manage.py runworker" in report.wrong("worker", "none is connected")
        # It finishes what it has begun all the same.
        statuses = conn.execute("SELECT DISTINCT status FROM attune.execution").fetchall()
        assert statuses == [("completed",)]
        own_stack.start_worker("next")
        wait_for(lambda: one(conn, "SELECT count(*) FROM attune.execution_inbox") == 0, "the log")


@pytest.mark.parametrize(
    ("backend", "level"),
    [
        ("channels_redis.pubsub.RedisPubSubChannelLayer", "ok"),
        ("channels.layers.InMemoryChannelLayer", "error"),
        ("nothing.of.the.Kind", "error"),
    ],
)
def test_it_knows_the_layer_that_works(backend: str, level: str) -> None:
    finding = layer.type_of({"default": {"BACKEND": backend}})
    assert (finding.level, backend in finding.detail) == (level, True)
