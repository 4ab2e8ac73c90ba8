"""`GET executions/{id}/events`: the log of one execution, from either end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection
from rest_framework.utils.urls import replace_query_param

from executions import eventlog, parameters
from executions.api.pagination import page_size
from executions.filters import Filter, log_where
from executions.parameters import Query
from executions.positions import MAX_BIGINT

ORDERINGS = ("seq", "-seq")
PARAMETERS = frozenset({"after", "before", "ordering", "page_size"})
PAGE_BYTES = 1024 * 1024  # about, of one page; at least one event


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """What is asked for: events with `after < seq < before`, at most `limit`."""

    after: int
    before: int
    newest_first: bool
    limit: int


def parse(query: Query) -> HistoryRequest:
    """Parse a query string; raises ParameterError."""
    parameters.check_names(query, PARAMETERS)
    return HistoryRequest(
        after=parameters.integer("after", query, low=0, high=MAX_BIGINT, default=0),
        before=parameters.integer("before", query, low=0, high=MAX_BIGINT, default=MAX_BIGINT),
        newest_first=parameters.choice(
            "ordering", query, {"seq": False, "-seq": True}, default=False
        ),
        limit=page_size(query),
    )


def page(asked: HistoryRequest, filter: Filter, *, url: str) -> dict[str, Any]:
    """Return the answer to `url`; `filter` has the execution, and what may not be seen."""
    where = log_where(filter)
    with connection.cursor() as cursor:
        events, is_cut = eventlog.history(
            cursor,
            after=asked.after,
            before=asked.before,
            newest_first=asked.newest_first,
            limit=asked.limit,
            max_bytes=PAGE_BYTES,
            condition=where.condition,
            values=where.values,
        )
    bound = "before" if asked.newest_first else "after"
    return {
        "next": replace_query_param(url, bound, str(events[-1].seq)) if is_cut else None,
        "previous": None,
        "results": [orjson.Fragment(event.body) for event in map(filter.told, events) if event],
    }
