"""What clients received, held against what writers were promised and what the log says. Pure.

The acknowledged changes are the truth about what must be there, the log about its order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.faults.facts import Change, Entry, Item, Maybe, Received, Row, Truth

EXAMPLES = 5  # findings of a kind that are told one by one; all are counted
THE_LOG = "the log"

# What a finding is counted as. All of them have to be zero.
LOST = "lost"
DUPLICATES = "duplicates"
INVERSIONS = "inversions"
UNAUTHORISED = "unauthorised"
RESETS = "resets"
# Beyond what the issue asks for: in the log without a writer, or sent without being asked for.
PHANTOMS = "phantoms"
UNASKED = "unasked"
KINDS = (LOST, DUPLICATES, INVERSIONS, UNAUTHORISED, RESETS, PHANTOMS, UNASKED)


@dataclass
class Findings:
    """How often what was found, and where; the first ones by name."""

    counts: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, kind: str, place: str, text: str) -> None:
        self.counts[kind] += 1
        self.places[f"{kind} at {place}"] += 1
        if self.counts[kind] <= EXAMPLES:
            self.examples.append(f"{kind} at {place}: {text}")

    @property
    def clean(self) -> bool:
        return not any(self.counts.values())


def check(
    truth: Truth, clients: Iterable[Received], *, explained_resets: frozenset[str] = frozenset()
) -> Findings:
    """Hold the log against the writers, then every client against the log."""
    findings = Findings()
    _check_log(truth, findings)
    began = {(change.execution, change.version): change.began for change in truth.changes}
    entries = {entry.seq: entry for entry in truth.log}
    for client in clients:
        _check_order(client, findings)
        _check_contents(client, entries, truth.epoch, findings)
        _check_completeness(client, truth, began, explained_resets, findings)
        shows_all = client.whole and client.end is None and client.watch.everything
        if shows_all and truth.state is not None:
            _check_state(client, entries, truth.state, findings)
    return findings


def _check_log(truth: Truth, findings: Findings) -> None:
    """Every acknowledged change once, nothing else, dense, each execution's in order."""
    last_seq, versions = truth.base, dict[int, int]()
    for entry in truth.log:
        what = _shown(entry)
        if entry.seq != last_seq + 1:
            findings.add(INVERSIONS, THE_LOG, f"{what} right after seq {last_seq}")
        last_seq = entry.seq
        before = versions.get(entry.execution, entry.version - 1)
        if entry.version == before:
            findings.add(DUPLICATES, THE_LOG, f"{what} twice")
        elif entry.version != before + 1:
            findings.add(INVERSIONS, THE_LOG, f"{what} after version {before}")
        versions[entry.execution] = entry.version
    there = {(entry.execution, entry.version) for entry in truth.log}
    known = {(change.execution, change.version) for change in truth.changes}
    for execution, version in sorted(known - there):
        findings.add(LOST, THE_LOG, f"the acknowledged {execution} version {version}")
    for entry in truth.log:
        if (entry.execution, entry.version) not in known and not _possible(entry, truth.maybe):
            findings.add(PHANTOMS, THE_LOG, f"{_shown(entry)}, which nobody committed")


def _possible(entry: Entry, maybe: Maybe) -> bool:
    return entry.execution in maybe.deleted if entry.op == "DELETE" else entry.mark in maybe.marks


def _check_order(client: Received, findings: Findings) -> None:
    """Positions and versions only grow, and nothing comes twice."""
    position = client.start
    seqs, versions = set[int](), dict(client.known)
    for item in client.items:
        what = _shown(item)
        event = item.execution != 0
        seen = versions.get(item.execution, 0)
        if event and (item.seq in seqs or item.version == seen):
            findings.add(DUPLICATES, client.name, f"{what} twice")
        elif item.seq < position or (event and item.seq == position):
            findings.add(INVERSIONS, client.name, f"{what} after position {position}")
        elif event and item.version < seen:
            findings.add(INVERSIONS, client.name, f"{what} after version {seen}")
        position = item.seq
        if event:
            seqs.add(item.seq)
            versions[item.execution] = max(seen, item.version)


def _check_contents(
    client: Received, entries: dict[int, Entry], epoch: str, findings: Findings
) -> None:
    """Each event is the log's, was asked for, and may be seen."""
    for other in sorted(client.epochs - {epoch}):
        findings.add(PHANTOMS, client.name, f"ids of epoch {other}, the log has {epoch}")
    for item in client.items:
        if not item.execution:
            continue
        what = _shown(item)
        entry = entries.get(item.seq)
        # By what the event says, too: the log's word must not excuse what went over the wire.
        if item.pack in client.watch.hidden or (entry and entry.pack in client.watch.hidden):
            findings.add(UNAUTHORISED, client.name, what)
        elif entry is None or (entry.execution, entry.version) != (item.execution, item.version):
            there = _shown(entry) if entry else "nothing"
            findings.add(PHANTOMS, client.name, f"{what}, where the log has {there}")
        elif not client.watch.takes(entry):
            findings.add(UNASKED, client.name, what)


def _check_completeness(
    client: Received,
    truth: Truth,
    began: dict[tuple[int, int], float],
    explained: frozenset[str],
    findings: Findings,
) -> None:
    """Everything after its start is there, and what began after it even if `start` is wrong."""
    got = {item.seq for item in client.items if item.execution}
    excused = [reset for reset in client.resets if reset.reason in explained]
    for entry in truth.log:
        if entry.seq in got or not client.watch.takes(entry):
            continue
        if entry.version <= client.known.get(entry.execution, 0):
            continue
        if client.end is not None and entry.seq > client.end:
            break
        if any(reset.before < entry.seq <= reset.after for reset in excused):
            continue
        when = began.get((entry.execution, entry.version), 0.0)
        if entry.seq > client.start or when > client.since:
            findings.add(LOST, client.name, _shown(entry))
    for reset in client.resets:
        if reset.reason not in explained:
            findings.add(
                RESETS, client.name, f"{reset.reason} from {reset.before} to {reset.after}"
            )


def _check_state(
    client: Received, entries: Mapping[int, Entry], state: Mapping[int, Row], findings: Findings
) -> None:
    """The snapshot and the events after it add up to the table. For clients without a filter."""
    shown = dict(client.known)
    for item in client.items:
        if item.execution:
            shown[item.execution] = item.version
            if item.seq in entries and entries[item.seq].op == "DELETE":
                del shown[item.execution]
    hidden = client.watch.hidden
    there = {execution: row.version for execution, row in state.items() if row.pack not in hidden}
    for execution, version in sorted(there.items() - shown.items()):
        findings.add(LOST, client.name, f"shows {execution} not as of version {version}")
    for execution in sorted(shown.keys() - there.keys()):
        findings.add(PHANTOMS, client.name, f"shows {execution}, which is not there")


def recovery_seconds(since: float, changes: Sequence[Change], clients: Iterable[Received]) -> float:
    """Return how long after `since` every client had one event begun after it.

    Infinite where one of them never had any.
    """
    later = {(c.execution, c.version) for c in changes if c.began > since}
    return max(
        (
            min((i.at for i in client.items if (i.execution, i.version) in later), default=_NEVER)
            - since
            for client in clients
        ),
        default=_NEVER,
    )


def delays(changes: Sequence[Change], clients: Iterable[Received]) -> Iterator[float]:
    """Yield the seconds from each COMMIT's return to each client's receipt of it."""
    committed = {(c.execution, c.version): c.committed for c in changes}
    for client in clients:
        for item in client.items:
            if (item.execution, item.version) in committed:
                yield item.at - committed[item.execution, item.version]


_NEVER = float("inf")


def _shown(thing: Entry | Item) -> str:
    return f"seq {thing.seq} ({thing.pack} {thing.execution} version {thing.version})"
