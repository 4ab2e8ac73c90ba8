"""Change lists over tables of any size: a bounded count, and no crash from an odd URL."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db import DataError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

MAX_LISTED_ROWS = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Counts and pages through the first MAX_LISTED_ROWS rows: COUNT and OFFSET read them all."""

    is_cut = False

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Model]", self.object_list)
        found = rows.order_by()[: MAX_LISTED_ROWS + 1].count()
        self.is_cut = found > MAX_LISTED_ROWS
        return min(found, MAX_LISTED_ROWS)


class BoundedChangeList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except (DataError, OverflowError, ValueError) as exc:
            # A lookup typed into the URL that PostgreSQL or Python refuses: a NUL character,
            # the year 99999. Django then shows the list without it.
            raise IncorrectLookupParameters from exc
        if getattr(self.paginator, "is_cut", False):
            # Equal numbers keep the search form from calling the limit the "results".
            self.full_result_count: Any = self.result_count
