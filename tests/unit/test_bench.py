"""The logic of the benchmarks: a wrong figure must come from the machine, not from here."""

from __future__ import annotations

import argparse
import math
import os
import random
import socket
import threading
import time

import pytest

from bench import pacing, report
from bench.__main__ import number_of_clients
from bench.histogram import Histogram, bucket_of, upper_end
from bench.loadclient import LoadClient, Window
from bench.measure import Run, add_up
from bench.outcome import Table, median
from bench.plots import cumulative
from bench.scenarios.filters import evaluations
from bench.scenarios.storm import hub_statements
from bench.scenarios.writer import commits_per_second
from bench.servers import payload
from bench.stack import added_environment
from bench.targets import TARGETS, Target, Verdict, judge


def a_run(**values: object) -> Run:
    fields = dict.fromkeys(Run.__dataclass_fields__, 0.0) | {
        "server": "x",
        "clients": 10,
        "changes": 5,
        "deliveries": 50,
        "lost": 0,
        "twice": 0,
        "ended": 0,
        "histogram": [(3, 50)],
        "p99_by_time": [],
    }
    return Run(**(fields | values))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 1, 255, 256, 257, 511, 512, 12_345, 10**6, 10**9])
def test_it_counts_a_latency_within_a_hundredth(value: int) -> None:
    end = upper_end(bucket_of(value))
    assert value <= end <= value * 1.008 + 1
    assert bucket_of(end) == bucket_of(value) == bucket_of(end + 1) - 1


def test_it_takes_percentiles_that_were_measured() -> None:
    values = [random.Random(1).randrange(200) for _ in range(1000)]
    histogram = Histogram()
    for value in values:
        histogram.add(Histogram([(bucket_of(value), 1)]))
    assert histogram.total == 1000
    assert histogram.percentile_ms(0.99) == sorted(values)[989] / 1000
    assert histogram.percentile_ms(1.0) == max(values) / 1000
    assert math.isnan(Histogram().percentile_ms(0.5))


@pytest.mark.parametrize(("rate", "seconds"), [(20, 3.0), (100, 1.0), (333, 2.0), (25_000, 0.5)])
def test_it_plans_as_many_changes_as_the_rate_says(rate: float, seconds: float) -> None:
    plan = pacing.ticks(rate, seconds)
    assert sum(changes for _, changes in plan) == pytest.approx(rate * seconds, abs=1)
    assert all(0 <= at < seconds for at, _ in plan)
    assert (
        max(changes for _, changes in plan) <= math.ceil(rate * pacing.TICK_SECONDS) or rate < 100
    )


def test_it_blames_a_slow_publisher_for_every_change_it_delays() -> None:
    waits = []

    def publish(due: int, changes: int) -> None:
        if not waits:
            time.sleep(0.05)
        waits.append(time.monotonic_ns() - due)

    published = pacing.run(publish, rate=100, seconds=0.1)
    assert published.changes == 10
    assert sum(wait > 5_000_000 for wait in waits) >= 4
    assert published.late_seconds > 0.03


def test_it_adds_losses_up_and_takes_the_median_of_the_rest() -> None:
    runs = [a_run(p99_ms=p99, lost=lost) for p99, lost in ((5.0, 0), (90.0, 1), (7.0, 2))]
    middle = median(runs)
    assert (middle.p99_ms, middle.lost, middle.whole) == (7.0, 3, False)
    assert middle.histogram == [(3, 150)]


def test_it_adds_the_windows_of_several_clients_up() -> None:
    names = [n for n in Window.__dataclass_fields__ if n not in ("latency", "controls")]
    one = Window(latency=Histogram([(1, 2)]), controls="reset ", **dict.fromkeys(names, 2))
    both = add_up([one, one])
    assert (both.frames, both.seconds, both.controls.split()) == (4, 2, ["reset", "reset"])
    assert both.latency.pairs == [(1, 4)]


@pytest.mark.parametrize(
    ("value", "at_least", "word"),
    [
        (1.0, False, "PASS"),
        (1.1, False, "**MISS**"),
        (1.0, True, "PASS"),
        (0.9, True, "**MISS**"),
        (None, True, "not measured"),
        (math.nan, False, "not measured"),
        (math.inf, False, "**MISS**"),
    ],
)
def test_it_judges_as_the_bound_says(value: float | None, at_least: bool, word: str) -> None:
    assert Verdict(Target("s", "t", "f", 1.0, at_least=at_least), value).word == word


def test_it_judges_every_target_and_leaves_none_out() -> None:
    verdicts = judge({"fanout.p99_ms": 12.0})
    assert len(verdicts) == len(TARGETS)
    assert [v.target.figure for v in verdicts if v.word != "not measured"] == ["fanout.p99_ms"]


def test_it_infers_evaluations_from_what_one_costs() -> None:
    cost = {1: 100.0, 20: 119.0, 1000: 1099.0}
    assert evaluations(cost, 20, most=1000) == pytest.approx(20)
    assert math.isnan(evaluations({1: 5.0, 20: 5.0, 1000: 5.0}, 20, most=1000))


def test_it_counts_statements_of_the_hub_with_all_their_lines() -> None:
    log = (
        "@attune hub@ LOG:  execute <unnamed>: \n\tWITH page AS\n\tFROM attune.execution_event\n"
        "@attune hub@ LOG:  statement: SELECT epoch FROM attune.stream_state\n"
        "@@ LOG:  execute <unnamed>: SELECT 1 FROM attune.execution_event\n"
        "@attune hub@ DETAIL:  parameters: $1 = '5'\n"
    )
    found = hub_statements(log)
    assert len(found) == 2
    assert sum("execution_event" in statement for statement in found) == 1


def test_it_leaves_no_setting_of_one_stack_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_POLL_EVENTS_PER_SECOND", "50")
    monkeypatch.delenv("ATTUNE_NOTIFY", raising=False)
    before = dict(os.environ)

    with added_environment({"ATTUNE_NOTIFY": "adaptive", "ATTUNE_POLL_EVENTS_PER_SECOND": "100"}):
        assert os.environ["ATTUNE_NOTIFY"] == "adaptive"
        assert os.environ["ATTUNE_POLL_EVENTS_PER_SECOND"] == "100"

    assert dict(os.environ) == before


def test_it_holds_no_more_clients_than_files_may_be_open() -> None:
    assert number_of_clients("100") == 100
    for wrong in ("0", "-5", str(10**9)):
        with pytest.raises(argparse.ArgumentTypeError, match=r"1 to \d+ here, by `ulimit -Hn`"):
            number_of_clients(wrong)


def test_it_reads_what_pgbench_says() -> None:
    output = "latency average = 0.5 ms\ntps = 1234.567 (without initial connection time)\n"
    assert commits_per_second(output) == 1234.567


def test_it_draws_a_share_that_ends_at_all() -> None:
    assert cumulative([(10, 1), (20, 3)]) == ([0.01, 0.02], [0.25, 1.0])


def test_it_replaces_only_what_stands_between_the_marks() -> None:
    begin, end = report.MARKS
    assert report.between_marks(f"a{begin}old{end}b", "new") == f"a{begin}\n\nnew\n{end}b"
    with pytest.raises(ValueError, match="marks"):
        report.between_marks("a", "new")
    assert report.markdown_table(Table(("a", "b"), [("1", "2")])).splitlines()[1] == "|---|--:|"


# --- the load client --------------------------------------------------------------------------
def frame(seq: int) -> bytes:
    return b"id: e-%d\ndata: %s\n\n" % (seq, payload(seq, time.monotonic_ns()))


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


def serve(parts: list[bytes]) -> int:
    """Answer one request with these parts, each a segment of its own; return the port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = listening.accept()
        with listening, connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(65536)
            for part in parts:
                connection.sendall(part)
                time.sleep(0.002)
            connection.recv(1)  # until the client goes

    threading.Thread(target=answer, daemon=True).start()
    return int(listening.getsockname()[1])


def receive(parts: list[bytes], *, goal: int = 1) -> tuple[Window, LoadClient]:
    port = serve(parts)
    client = LoadClient(port)
    client.goal(goal)
    client.open([b"GET / HTTP/1.1\r\n\r\n"], seconds=5)
    time.sleep(0.05 + 0.004 * len(parts))
    return client.report(), client


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_it_counts_frames_however_they_are_cut(size: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = chunked(b"id: e-4\nevent: connected\ndata: {}\n\n") + chunked(frame(5) + frame(6))
    body += chunked(b"id: e-6\n: heartbeat\n\n") + chunked(frame(7)[:40]) + chunked(b"x" * 3)
    data = head + body
    window, client = receive([data[at : at + size] for at in range(0, len(data), size)])
    with client:
        assert (window.frames, window.timed, window.heartbeats) == (2, 2, 1)
        assert (window.missing, window.twice, window.live) == (0, 0, 1)
        assert window.latency.percentile_ms(1.0) < 5000


def test_it_sees_what_is_lost_repeated_or_reset() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\nevent: connected\ndata: {}\n\n"
    window, client = receive(
        [head, frame(5), frame(8), frame(8), b"event: reset\ndata: {}\n\n", frame(9)], goal=9
    )
    with client:
        assert (window.frames, window.missing, window.twice) == (4, 2, 1)
        assert (window.controls.split(), window.at_goal) == (["reset"], 1)
        [stream] = client.streams()
        assert stream == (1, 5, 9, 4, 2, 1)
