"""What is known of a scenario afterwards: by its writers, by the database, by each client. Pure.

Positions are numbers of the log (`seq`); times are seconds of `time.monotonic`, which all
processes of a machine share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Change:
    """A change whose COMMIT has returned."""

    execution: int
    version: int
    began: float
    committed: float


@dataclass(frozen=True, slots=True)
class Maybe:
    """Changes whose COMMIT never returned: each of them may be there, or not.

    A statement is recognised by the number that it left in the row, a DELETE by what it deleted.
    """

    marks: frozenset[int] = frozenset()
    deleted: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the log."""

    seq: int
    execution: int
    version: int
    op: str
    pack: str
    status: str
    old_status: str | None
    mark: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """An execution as it is in the table."""

    version: int
    pack: str


@dataclass(frozen=True, slots=True)
class Watch:
    """What a client asked for and what its user may not see. Empty sets do not restrict."""

    executions: frozenset[int] = frozenset()
    packs: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()

    @property
    def everything(self) -> bool:
        """Whether it takes all that the user may see."""
        return not (self.executions or self.packs or self.statuses)

    def takes(self, entry: Entry) -> bool:
        return (
            entry.pack not in self.hidden
            and (not self.executions or entry.execution in self.executions)
            and (not self.packs or entry.pack in self.packs)
            and (
                not self.statuses or not self.statuses.isdisjoint({entry.status, entry.old_status})
            )
        )


@dataclass(frozen=True, slots=True)
class Item:
    """An event as it came; `execution` 0 is a position without one (heartbeat, `connected`)."""

    seq: int
    execution: int
    version: int
    pack: str
    at: float


@dataclass(frozen=True, slots=True)
class Reset:
    """The server gave up on a client at `before`, and went on from `after`."""

    reason: str
    before: int
    after: int


@dataclass
class Received:
    """One client's whole life. `start` is where its first stream began, `since` when.

    `known` is what a snapshot said, as versions by execution; `whole`: of all that there was.
    `end` is where it left for good; None where it stayed to the end of the log.
    """

    name: str
    watch: Watch
    start: int
    since: float
    items: list[Item] = field(default_factory=list)
    resets: list[Reset] = field(default_factory=list)
    epochs: frozenset[str] = frozenset()
    known: dict[int, int] = field(default_factory=dict)
    whole: bool = False
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """What really happened. `base`: the log's last seq before the first recorded change."""

    changes: Sequence[Change]
    maybe: Maybe
    log: Sequence[Entry]  # by seq
    epoch: str
    base: int = 0
    state: Mapping[int, Row] | None = None  # the table in the end, by execution
