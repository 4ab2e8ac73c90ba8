"""The fault harness finds what it is there to find."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.faults.checker import Findings, check, delays, recovery_seconds
from bench.faults.facts import Change, Entry, Item, Maybe, Received, Reset, Row, Truth, Watch

EPOCH = "5f1c"
VAULT = frozenset({"vault"})

# Two executions of alpha, one of the restricted pack, in this order.
LOG = (
    Entry(1, 10, 1, "INSERT", "alpha", "requested", None, mark=1),
    Entry(2, 20, 1, "INSERT", "vault", "requested", None, mark=2),
    Entry(3, 10, 2, "UPDATE", "alpha", "running", "requested", mark=3),
    Entry(4, 11, 1, "INSERT", "alpha", "requested", None, mark=4),
    Entry(5, 10, 3, "UPDATE", "alpha", "completed", "running", mark=5),
    Entry(6, 11, 2, "DELETE", "alpha", "requested", "requested", mark=4),
)


def truth(log: tuple[Entry, ...] = LOG, *, base: int = 0) -> Truth:
    changes = [Change(e.execution, e.version, float(e.seq), e.seq + 0.5) for e in LOG]
    return Truth(changes, Maybe(), log, EPOCH, base)


def item(entry: Entry, at: float = 0.0) -> Item:
    return Item(entry.seq, entry.execution, entry.version, entry.pack, at)


def position(seq: int) -> Item:
    return Item(seq, 0, 0, "", 0.0)


def client(*items: Item, watch: Watch | None = None, start: int = 0, since: float = 0) -> Received:
    return Received(
        "c", watch or Watch(), start, since, items=list(items), epochs=frozenset({EPOCH})
    )


EVERYTHING = tuple(item(entry) for entry in LOG)


def found(received: Received, explained: frozenset[str] = frozenset()) -> dict[str, int]:
    return counts(check(truth(), [received], explained_resets=explained))


def counts(findings: Findings) -> dict[str, int]:
    assert sum(findings.counts.values()) == len(findings.examples)
    return dict(findings.counts)


def test_it_finds_nothing_where_nothing_is() -> None:
    assert found(client(position(0), *EVERYTHING, position(6))) == {}


def test_it_finds_an_event_that_a_client_lacks() -> None:
    assert found(client(*EVERYTHING[:2], *EVERYTHING[3:])) == {"lost": 1}


def test_it_finds_what_was_skipped_by_a_position_without_an_event() -> None:
    assert found(client(*EVERYTHING[:2], position(4), *EVERYTHING[4:])) == {"lost": 2}


def test_it_expects_what_follows_the_start_only() -> None:
    assert found(client(*EVERYTHING[3:], start=3, since=10.0)) == {}


def test_it_does_not_believe_a_start_that_lies_ahead_of_what_was_not_yet_written() -> None:
    assert found(client(*EVERYTHING[5:], start=5, since=4.5)) == {"lost": 1}


def test_it_finds_an_acknowledged_change_that_the_log_lacks() -> None:
    short = LOG[:5]
    findings = check(truth(short), [client(*EVERYTHING[:5])])
    assert counts(findings) == {"lost": 1}


def test_it_finds_an_event_that_came_twice() -> None:
    assert found(client(*EVERYTHING, EVERYTHING[-1])) == {"duplicates": 1}
    assert found(client(*EVERYTHING[:4], EVERYTHING[2], *EVERYTHING[4:])) == {"duplicates": 1}


def test_it_finds_a_change_that_came_twice_under_two_ids() -> None:
    twice = (*LOG[:5], replace(LOG[4], seq=6))
    findings = check(Truth(truth().changes[:5], Maybe(), twice, EPOCH), [client(*map(item, twice))])
    # In the log, and again at the client.
    assert counts(findings) == {"duplicates": 2}


def test_it_finds_events_in_the_wrong_order() -> None:
    swapped = (*EVERYTHING[:2], EVERYTHING[3], EVERYTHING[2], *EVERYTHING[4:])
    assert found(client(*swapped)) == {"inversions": 1}


def test_it_finds_a_version_that_goes_back_although_the_ids_do_not() -> None:
    log = (LOG[0], LOG[1], replace(LOG[4], seq=3), LOG[3], replace(LOG[2], seq=5), LOG[5])
    findings = check(truth(log), [client(*map(item, log))])
    # The log jumps to version 3 and back to 2; the client sees it go back.
    assert counts(findings) == {"inversions": 3}


def test_it_finds_a_position_that_goes_back() -> None:
    assert found(client(*EVERYTHING, position(5))) == {"inversions": 1}


def test_it_finds_a_gap_in_the_numbers_of_the_log() -> None:
    findings = check(truth((*LOG[:5], replace(LOG[5], seq=7))), [])
    assert counts(findings) == {"inversions": 1}


def test_it_finds_an_event_that_the_client_may_not_see() -> None:
    outsider = Watch(hidden=VAULT)
    allowed = [i for i in EVERYTHING if i.pack != "vault"]
    assert found(client(*allowed, watch=outsider)) == {}
    assert found(client(*EVERYTHING, watch=outsider)) == {"unauthorised": 1}


def test_it_finds_a_hidden_pack_in_an_event_that_the_log_has_otherwise() -> None:
    forged = replace(EVERYTHING[0], pack="vault")
    received = client(forged, EVERYTHING[2], *EVERYTHING[3:], watch=Watch(hidden=VAULT))
    assert found(received) == {"unauthorised": 1}


def test_it_finds_a_reset_and_what_it_left_out() -> None:
    received = client(*EVERYTHING[:2], *EVERYTHING[4:])
    received.resets.append(Reset("history_gone", 2, 4))
    assert found(received) == {"lost": 2, "resets": 1}


def test_it_takes_a_reset_that_the_fault_explains() -> None:
    received = client(*EVERYTHING[:2], *EVERYTHING[4:])
    received.resets.append(Reset("history_gone", 2, 4))
    assert found(received, explained=frozenset({"history_gone"})) == {}


@pytest.mark.parametrize(
    ("watch", "seqs"),
    [
        (Watch(executions=frozenset({11})), (4, 6)),
        (Watch(packs=VAULT), (2,)),
        (Watch(packs=VAULT, hidden=VAULT), ()),
        # By the status that it leaves, too.
        (Watch(statuses=frozenset({"running"})), (3, 5)),
    ],
)
def test_it_expects_what_a_filter_takes_and_nothing_else(watch: Watch, seqs: tuple[int]) -> None:
    asked = [i for i in EVERYTHING if i.seq in seqs]
    assert found(client(*asked, watch=watch)) == {}
    extra = next(i for i in EVERYTHING if i.seq not in seqs and i.pack not in watch.hidden)
    received = sorted([*asked, extra], key=lambda i: i.seq)
    assert found(client(*received, watch=watch)) == {"unasked": 1}


def test_it_finds_an_event_that_nobody_committed() -> None:
    invented = Entry(7, 30, 1, "INSERT", "alpha", "requested", None, mark=99)
    findings = check(truth((*LOG, invented)), [client(*EVERYTHING, item(invented))])
    assert counts(findings) == {"phantoms": 1}


def test_it_finds_an_event_that_the_log_does_not_have() -> None:
    other = replace(EVERYTHING[5], version=9)
    assert found(client(*EVERYTHING[:5], other)) == {"phantoms": 1}


def test_it_finds_another_epoch() -> None:
    received = client(*EVERYTHING)
    received.epochs |= {"0bad"}
    assert found(received) == {"phantoms": 1}


def test_it_takes_either_outcome_of_a_commit_that_never_returned() -> None:
    unknown = Entry(7, 30, 1, "INSERT", "alpha", "requested", None, mark=99)
    deleted = Entry(8, 10, 4, "DELETE", "alpha", "completed", "completed", mark=5)
    maybe = Maybe(marks=frozenset({99}), deleted=frozenset({10}))
    there = (*LOG, unknown, deleted)
    for log in (LOG, there):
        known = replace(truth(log), maybe=maybe)
        assert counts(check(known, [client(*map(item, log))])) == {}


def test_it_expects_nothing_that_a_snapshot_has_told_already() -> None:
    # At position 2, with version 3 of 10: read ahead of the log.
    received = client(EVERYTHING[3], EVERYTHING[5], start=2, since=9.0)
    received.known = {10: 3, 20: 1}
    assert found(received) == {}
    received.items.insert(0, EVERYTHING[2])
    assert found(received) == {"inversions": 1}


def test_it_expects_nothing_after_a_client_has_left() -> None:
    received = client(*EVERYTHING[:3])
    received.end = 3
    assert found(received) == {}
    received.end = 4
    assert found(received) == {"lost": 1}


@pytest.mark.parametrize(
    ("known", "finding"),
    [
        ({10: 1, 20: 1}, {}),
        ({10: 1}, {"lost": 1}),  # 20 was there, and nothing came of it later
        ({10: 1, 20: 1, 99: 1}, {"phantoms": 1}),
    ],
)
def test_it_adds_up_the_snapshot_and_what_followed(
    known: dict[int, int], finding: dict[str, int]
) -> None:
    table = {10: Row(3, "alpha"), 20: Row(1, "vault")}
    received = client(*EVERYTHING[2:], start=2, since=9.0)
    received.known, received.whole = known, True
    assert counts(check(replace(truth(), state=table), [received])) == finding


def test_it_counts_what_it_no_longer_tells_one_by_one() -> None:
    log = tuple(Entry(n, n, 1, "INSERT", "alpha", "requested", None) for n in range(1, 101))
    changes = [Change(e.execution, 1, 0.0, 0.0) for e in log]
    findings = check(Truth(changes, Maybe(), log, EPOCH), [client()])
    assert findings.counts["lost"] == 100
    assert len(findings.examples) < 100


def test_it_measures_recovery_by_the_last_client_to_get_something_new() -> None:
    first = client(item(LOG[2], at=3.6), item(LOG[3], at=4.6))
    second = client(item(LOG[3], at=6.0))
    # Change 3 began at 3.0, change 4 at 4.0.
    assert recovery_seconds(2.5, truth().changes, [first, second]) == 3.5
    assert recovery_seconds(2.5, truth().changes, [first]) == pytest.approx(1.1)
    assert recovery_seconds(5.5, truth().changes, [first, second]) == float("inf")


def test_it_measures_delays_from_the_return_of_commit() -> None:
    received = client(item(LOG[0], at=1.75), item(LOG[1], at=3.5), position(2))
    assert list(delays(truth().changes, [received])) == [0.25, 1.0]
