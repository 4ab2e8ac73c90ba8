"""The pages people watch. What is on them, they fetch themselves: REST first, then the stream."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.views.generic import TemplateView

from attune import logs
from executions import visibility
from executions.status import STATUSES, TERMINAL


class Page(LoginRequiredMixin, TemplateView):
    """A page for whoever is signed in; others sign in first, and come back."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        logs.bind(user=request.user.pk)
        return super().get(request, *args, **kwargs)


class ExecutionsPage(Page):
    template_name = "streaming/executions.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        groups = {
            "now": [status for status in STATUSES if status not in TERMINAL],
            "in the last hour": [status for status in STATUSES if status in TERMINAL],
        }
        return super().get_context_data(groups=groups.items(), **kwargs)


class ExecutionPage(Page):
    """One execution; whether it does not exist or may not be seen, the answer is the same."""

    template_name = "streaming/execution.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = visibility.signed_in(self.request.user)
        visible = visibility.visible_executions(user).only("action_ref")
        execution = visible.filter(pk=kwargs["pk"]).first()
        if execution is None:
            raise Http404
        is_admin = user.is_staff and user.has_perm("executions.view_execution")
        return super().get_context_data(execution=execution, is_admin=is_admin, **kwargs)


class OverviewPage(Page):
    template_name = "streaming/overview.html"
    extra_context = {"windows": ((15, "15 min"), (60, "1 h"), (360, "6 h"), (1440, "24 h"))}
