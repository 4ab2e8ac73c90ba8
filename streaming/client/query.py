"""What to ask a stream for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

Ids = int | Iterable[int]
Texts = str | Iterable[str]

_LISTS = ("execution_id", "status", "action_ref", "pack", "parent", "root")


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a stream, as in attune's `docs/stream.md`.

    Each takes one value or several, which are alternatives; different ones all have to match.
    `snapshot`: the current state first. `until_terminal` (with `execution_id` or `root`): end
    once all of them have ended. `last_event_id`: where to begin; also `earliest` and `now`.
    """

    execution_id: Ids = ()
    status: Texts = ()
    action_ref: Texts = ()
    pack: Texts = ()
    parent: Ids = ()
    root: Ids = ()
    snapshot: bool = False
    until_terminal: bool = False
    last_event_id: str | None = None

    def __post_init__(self) -> None:
        for name in _LISTS:  # an iterator can be read once only
            given = getattr(self, name)
            values = (given,) if isinstance(given, int | str) else tuple(given)
            object.__setattr__(self, name, values)

    def params(self) -> tuple[tuple[str, str], ...]:
        """Return the query string's names and values, the cursor left out."""
        pairs = [(name, str(value)) for name in _LISTS for value in getattr(self, name)]
        if self.snapshot:
            pairs.append(("snapshot", "true"))
        if self.until_terminal:
            pairs.append(("until", "terminal"))
        return tuple(pairs)


PARAMETERS = frozenset(field.name for field in fields(Query))
