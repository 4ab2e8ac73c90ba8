"""Change lists over tables of any size: a page at a time, no COUNT, no crash from an odd URL."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.paginator import Paginator
from django.db import DataError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

MAX_LISTED_ROWS = 10_000  # OFFSET reads all that it leaves out


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Counts the first MAX_LISTED_ROWS rows at the most: where Django pages, but in lists."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Model]", self.object_list)
        return rows.order_by()[:MAX_LISTED_ROWS].count()


class PageChangeList(ChangeList):
    """Reads one page and one row more, which says whether there is a next one."""

    has_next = is_cut = False

    def get_results(self, request: HttpRequest) -> None:
        most = MAX_LISTED_ROWS // self.list_per_page
        if not 1 <= self.page_num <= most:
            raise IncorrectLookupParameters
        start = (self.page_num - 1) * self.list_per_page
        try:
            rows: list[Any] = list(self.queryset[start : start + self.list_per_page + 1])
        except (DataError, OverflowError, ValueError) as exc:
            # A lookup typed into the URL that PostgreSQL or Python refuses: a NUL character,
            # the year 99999. Django then shows the list without it.
            raise IncorrectLookupParameters from exc
        more = len(rows) > self.list_per_page
        self.has_next, self.is_cut = more and self.page_num < most, more and self.page_num == most
        self.result_list = rows[: self.list_per_page]
        # What Django's templates ask for. Equal numbers: it calls nothing the "total".
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count = self.multi_page = self.can_show_all = False
        self.show_admin_actions = bool(self.result_list)
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    @property
    def has_previous(self) -> bool:
        return self.page_num > 1

    @property
    def previous_link(self) -> str:
        return self.get_query_string({PAGE_VAR: self.page_num - 1})

    @property
    def next_link(self) -> str:
        return self.get_query_string({PAGE_VAR: self.page_num + 1})
