"""What streams are sent of the log: an event's frame, and frames joined for one write. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from executions.eventlog import Event
from executions.filters import Filter
from executions.positions import Position
from streaming import sse

# What one stream may have in flight: small enough for ten thousand clients that never read.
CHUNK_BYTES = 64 * 1024

# A chunk that is cut ends at a multiple of this, for everybody: streams that are behind, each
# somewhere else, are soon at the same few places.
STEP_EVENTS = 64
ANCESTOR_BYTES = 40  # an int, and the list's pointer to it


@dataclass(frozen=True, slots=True)
class Frame:
    """An event and its encoding, made once and shared by all streams."""

    event: Event
    data: bytes
    epoch: str
    # Of a move, by what of it may be seen: at most four, however many filters there are.
    _variants: dict[tuple[bool, bool], Frame] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, event: Event, epoch: str) -> Frame:
        """Encode an event; what nobody is to be told (see Filter.told) as nothing."""
        data = sse.event(event.body, id=f"{epoch}-{event.seq}") if event.body else b""
        return cls(event, data, epoch, {} if event.is_move else None)

    @property
    def size(self) -> int:
        """About how many bytes it takes that may be many: its text, and its ancestors."""
        event = self.event
        if event.ancestors is None and event.old_ancestors is None:
            return len(self.data)
        ancestors = len(event.ancestors or ()) + len(event.old_ancestors or ())
        return len(self.data) + ANCESTOR_BYTES * ancestors

    def told(self, filter: Filter) -> Frame:
        """Return the frame, which matches, as it is told where this filter is."""
        sides = None if self._variants is None else filter.visible_sides(self.event)
        if self._variants is None or sides is None:
            return self
        if sides not in self._variants:
            event = filter.told(self.event)
            self._variants[sides] = self if event is None else Frame.of(event, self.epoch)
        return self._variants[sides]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames joined for one write: up to and including event `last_seq`.

    `cut`: more of them are waiting, they did not fit.
    """

    data: bytes
    last_seq: int
    frames: tuple[Frame, ...]
    cut: bool = False

    def behind(self, end: Position) -> Position:
        """Return the place behind it, for a stream that had all before it; the hub is at `end`."""
        # Where it is not cut, what followed its last frame does not match.
        return Position(end.epoch, self.last_seq) if self.cut else end

    @property
    def size(self) -> int:
        """About how many bytes it takes, without the frames themselves."""
        return len(self.data) + 8 * len(self.frames) + 300


def join(frames: Iterable[Frame], *, after: int, max_bytes: int) -> Chunk:
    """Join frames up to about `max_bytes`; `after` is the position where there is none.

    Where they are cut, it is at a multiple of STEP_EVENTS, if there is one behind the first.
    """
    taken: list[Frame] = []
    size, cut = 0, False
    for frame in frames:
        cut = bool(taken) and size + len(frame.data) > max_bytes
        if cut:
            break
        taken.append(frame)
        size += len(frame.data)
    last = taken[-1].event.seq if taken else after
    if cut and (step := last - last % STEP_EVENTS) >= taken[0].event.seq:
        last = step
        while taken and taken[-1].event.seq > step:
            taken.pop()
    return Chunk(b"".join([frame.data for frame in taken]), last, tuple(taken), cut)
