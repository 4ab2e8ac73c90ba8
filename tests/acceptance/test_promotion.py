"""A standby promoted in place of the primary, which web and worker find by themselves."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest

from attune.local.postgres import EmbeddedPostgres
from attune.local.redis import EmbeddedRedis
from bench.faults.copies import CopiedPostgres
from tests.rows import add_execution, one
from tests.servers import Stack, free_port, running_stack, wait_for
from tests.sse_client import open_stream

MOST_EVENTS = 2_000  # before a client is told of the promotion; the writer makes 100 a second


@dataclass
class Pair:
    """A primary and its standby, streaming; `url` leads to whichever takes writes."""

    primary: CopiedPostgres
    standby: CopiedPostgres

    @property
    def url(self) -> str:
        hosts = ",".join(f"{server.host}:{server.port}" for server in (self.primary, self.standby))
        return f"postgresql://postgres@{hosts}/served?target_session_attrs=read-write"

    def wait_replayed(self) -> None:
        (end,) = self.primary.sql("SELECT pg_current_wal_lsn()::text")[0]

        def replayed() -> bool:
            (at,) = self.standby.sql("SELECT pg_last_wal_replay_lsn()::text")[0]
            return bool(number(at) >= number(end))

        wait_for(replayed, "the standby to be in step")

    def stop_replication(self) -> None:
        """From here on, the standby hears nothing of the primary."""
        self.standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.sql("SELECT pg_reload_conf()")
        # In this order: a receiver that is only about to begin would not be seen.
        known = "SHOW primary_conninfo"
        wait_for(lambda: self.standby.sql(known) == [("",)], "the standby to know of no primary")
        for server, connected in (
            (self.standby, "SELECT FROM pg_stat_wal_receiver"),
            (self.primary, "SELECT FROM pg_stat_replication"),
        ):
            wait_for(lambda s=server, q=connected: not s.sql(q), "the replication to end")


def number(lsn: str) -> int:
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


@pytest.fixture
def pair(postgres: EmbeddedPostgres, template: str) -> Iterator[Pair]:
    primary, standby = (CopiedPostgres(host="127.0.0.1", port=free_port()) for _ in range(2))
    try:
        primary.copy(postgres.url("postgres"))
        primary.start()
        primary.create_database("served", template=template)
        standby.copy(primary.url("postgres"), standby=True)
        standby.start()
        yield Pair(primary, standby)
    finally:
        standby.close()
        primary.close()


@pytest.fixture
def served(pair: Pair, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Stack]:
    with running_stack(pair.url, tmp_path) as stack:
        yield stack


@contextmanager
def no_checkpoint(server: CopiedPostgres) -> Iterator[None]:
    """As on a busy server, where the first checkpoint after a promotion takes minutes."""
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    ((pid,),) = server.sql(query)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_it_ends_the_epoch_where_clients_have_seen_what_the_standby_has_not(
    pair: Pair, served: Stack
) -> None:
    url, token = served.stream_url, served.token()
    with open_stream(url, token) as stream, served.sql() as conn:
        kept = add_execution(conn)
        first = stream.next_frame()
        pair.wait_replayed()
        pair.stop_replication()
        lost = [add_execution(conn) for _ in range(2)]
        seen = [stream.next_frame() for _ in lost]
        before = str(first.id).partition("-")[0]
        assert [frame.id for frame in (first, *seen)] == [f"{before}-{n}" for n in (1, 2, 3)]
        with no_checkpoint(pair.standby):
            pair.primary.stop(signal.SIGQUIT)
            pair.standby.promote()
            reset = stream.next_frame()
        assert (reset.event, json.loads(reset.data)["reason"]) == ("reset", "epoch_changed")
        after, _, seq = str(reset.id).partition("-")
        assert (after != before, seq) == (True, "1")
    served.wait_ready()
    with served.sql() as conn:
        rows = conn.execute("SELECT id FROM attune.execution").fetchall()
        assert rows == [(kept,)]  # what asynchronous replication had not brought is gone
        with (
            open_stream(url, token, resume=seen[-1].id) as ahead,
            open_stream(url, token, resume=first.id) as behind,
        ):
            for stream in (ahead, behind):
                frame = stream.next_frame()
                reason = json.loads(frame.data)["reason"]
                assert (frame.event, reason, frame.id) == ("reset", "epoch_changed", reset.id)
            # The numbers that were lost are given anew, in an epoch of their own.
            added = add_execution(conn)
            for stream in (ahead, behind):
                frame = stream.next_frame()
                assert (frame.id, json.loads(frame.data)["entity_id"]) == (f"{after}-2", added)


@dataclass
class Writer:
    """Adds executions until told to stop, on whichever server takes them."""

    url: str
    promised: list[int] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.is_set():
            with suppress(psycopg.OperationalError), psycopg.connect(self.url) as conn:
                conn.autocommit = True
                while not self.stop.wait(0.01):
                    self.promised.append(add_execution(conn))


@contextmanager
def writing(url: str) -> Iterator[Writer]:
    writer = Writer(url)
    thread = threading.Thread(target=writer.run, name="writer")
    thread.start()
    try:
        yield writer
    finally:
        writer.stop.set()
        thread.join()


def test_it_goes_on_with_a_standby_that_has_everything(pair: Pair, served: Stack) -> None:
    """A planned switch, under load: nothing is lost, and every client is told to look again."""
    headers = {"Authorization": f"Bearer {served.token()}"}
    told: set[int] = set()
    with open_stream(served.stream_url, served.token()) as stream, writing(pair.url) as writer:
        wait_for(lambda: len(writer.promised) > 20, "some load")
        pair.primary.stop(signal.SIGINT)  # the standby gets all there is before that returns
        pair.standby.promote()
        promised = len(writer.promised)
        for _ in range(MOST_EVENTS):
            frame = stream.next_frame()
            if frame.event == "reset":
                break
            told.add(json.loads(frame.data)["entity_id"])
        assert (frame.event, json.loads(frame.data).get("reason")) == ("reset", "epoch_changed")
        served.wait_ready()
        wait_for(lambda: len(writer.promised) > promised + 20, "the writer to go on")
        writer.stop.set()
        query = {"page_size": 500}
        listed = httpx.get(f"{served.url}/api/v1/executions", params=query, headers=headers)
        shown = {row["id"] for row in listed.json()["results"]}
        while not shown.issuperset(writer.promised):  # each turn waits for one event, bounded
            shown.add(stream.next()["entity_id"])
    with served.sql() as conn:
        count, last = "SELECT count(*) FROM attune.execution_event", "SELECT last_seq"
        wait_for(lambda: not one(conn, "SELECT count(*) FROM attune.execution_inbox"), "the log")
        assert one(conn, count) == one(conn, f"{last} FROM attune.stream_state")
        there = {row[0] for row in conn.execute("SELECT id FROM attune.execution")}
        assert told <= there and set(writer.promised) <= there
