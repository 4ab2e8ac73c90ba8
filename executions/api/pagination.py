from __future__ import annotations

from rest_framework.pagination import CursorPagination


class Pages(CursorPagination):
    """Newest first, by id: no COUNT, and as fast on page 10,000 as on page 1."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
