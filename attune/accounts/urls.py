from __future__ import annotations

from django.urls import re_path

from attune.accounts import openapi  # noqa: F401  # registers itself
from attune.accounts.views import BlacklistView, RefreshView, TicketView, TokenView

urlpatterns = [
    re_path(r"^auth/token/?$", TokenView.as_view(), name="token"),
    re_path(r"^auth/token/refresh/?$", RefreshView.as_view(), name="token-refresh"),
    re_path(r"^auth/token/blacklist/?$", BlacklistView.as_view(), name="token-blacklist"),
    re_path(r"^executions/stream/ticket/?$", TicketView.as_view(), name="stream-ticket"),
]
