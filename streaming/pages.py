"""The pages people watch. What is on them, they fetch themselves: REST first, then the stream."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.views.generic import TemplateView

from executions.status import STATUSES, TERMINAL


class Page(LoginRequiredMixin, TemplateView):
    """A page for whoever is signed in; others sign in first, and come back."""


class ExecutionsPage(Page):
    template_name = "streaming/executions.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(statuses=STATUSES, terminal=sorted(TERMINAL), **kwargs)
