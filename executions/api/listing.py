"""The query strings of REST: the stream's filters, and what only lists have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL

from executions import parameters
from executions.filters import Filter, table_where
from executions.models import Execution
from executions.parameters import Query

PAGING = ("cursor", "page_size")
# Named as the column they compare, and how: from here on, and before.
RANGES = {
    "created_after": "created__gte",
    "created_before": "created__lt",
    "updated_after": "updated__gte",
    "updated_before": "updated__lt",
}
ORDERINGS = ("-id", "id", "-created", "created", "-updated", "updated")
PARAMETERS = frozenset({*parameters.FILTERS, *RANGES, *PAGING, "executor", "ordering"})


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A parsed query string of `GET executions`."""

    filter: Filter
    executors: list[int]
    ranges: dict[str, datetime]
    ordering: str


def parse(query: Query) -> ListRequest:
    """Parse the query of a list; raises ParameterError."""
    parameters.check_names(query, PARAMETERS)
    moments = {lookup: parameters.moment(name, query) for name, lookup in RANGES.items()}
    return ListRequest(
        filter=parameters.parse_filter(query),
        executors=parameters.ids("executor", query),
        ranges={lookup: moment for lookup, moment in moments.items() if moment is not None},
        ordering=parameters.choice(
            "ordering", query, {name: name for name in ORDERINGS}, default="-id"
        ),
    )


def select(asked: ListRequest) -> QuerySet[Execution]:
    """Return the rows that are asked for; `asked.filter` has what may not be seen."""
    conditions = Q(**asked.ranges)
    if asked.executors:
        conditions &= Q(executor__in=asked.executors)
    return Execution.objects.filter(_matching(asked.filter), conditions)


def _matching(filter: Filter) -> Any:
    """Return the one definition of a filter as a condition of the ORM."""
    where = table_where(filter)
    with connection.cursor() as cursor:
        text: str = cursor.mogrify(where.condition, where.values)
    return RawSQL(text.replace("%", "%%"), (), output_field=BooleanField())
