"""The query string of a stream, parsed strictly. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from executions import parameters
from executions.filters import Filter
from executions.parameters import ParameterError, Query


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A parsed query string.

    `last_event_id` is the cursor, where one was given here. `until_terminal`: end the stream
    once everything it watches has ended.
    """

    filter: Filter
    last_event_id: str | None = None
    snapshot: bool = False
    until_terminal: bool = False

    @property
    def followed(self) -> Filter:
        """What the stream has to hear of: to see the end, every change, whatever its status."""
        if not self.until_terminal:
            return self.filter
        return replace(self.filter, statuses=frozenset())

    @property
    def holds_back(self) -> bool:
        """Whether it hears of more than its client is to be told."""
        return self.until_terminal and bool(self.filter.statuses)


PARAMETERS = frozenset({*parameters.FILTERS, "snapshot", "until", "last_event_id"})


def parse(query: Query) -> StreamRequest:
    """Parse the query of a stream, given as every value of every name.

    Raises ParameterError naming the first unknown parameter or wrong value.
    """
    parameters.check_names(query, PARAMETERS)
    request = StreamRequest(
        filter=parameters.parse_filter(query),
        last_event_id=parameters.single("last_event_id", query),
        snapshot=parameters.choice(
            "snapshot", query, {"true": True, "false": False}, default=False
        ),
        until_terminal=parameters.choice("until", query, {"terminal": True}, default=False),
    )
    if request.until_terminal and not (request.filter.executions or request.filter.roots):
        raise ParameterError(
            "until", "needs execution_id or root, so that there is an end to wait for"
        )
    return request
