"""Cancelling what is selected in the list, after asking, by the rules of the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from rest_framework.exceptions import NotFound

from executions import visibility
from executions.admin.filters import parse_id
from executions.admin.generics import ModelAdmin
from executions.api import changes
from executions.api.errors import TransitionNotAllowed
from executions.models import Execution
from executions.status import cancel_step

MAX_SELECTED = 200

ENDED, GONE, LEFT = "had ended", "not found", "left alone: the database is busy"


@admin.action(description="Cancel selected executions", permissions=["cancel"])
def cancel_selected(
    model_admin: ModelAdmin[Execution], request: HttpRequest, queryset: QuerySet[Execution]
) -> HttpResponse | None:
    """Ask, then cancel.

    Goes by the ids and not by `queryset`: that has the list's filters, and what no longer
    matches them by the time of the answer would be left out without a word.
    """
    texts = request.POST.getlist(ACTION_CHECKBOX_NAME)[:MAX_SELECTED]
    ids = [pk for text in texts if (pk := parse_id(text)) is not None]
    user = visibility.signed_in(request.user)
    if "confirmed" in request.POST:
        told = _cancel(model_admin, request, user, ids)
        text = ", ".join(f"{number} {what}" for what, number in told.items())
        model_admin.message_user(request, f"Cancel: {text}.", _level(told))
        return None
    rows = visibility.visible_executions(user).filter(pk__in=ids).defer("config", "result")
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Cancel executions?",
        "opts": model_admin.opts,
        "media": model_admin.media,
        "steps": [(row, cancel_step(row.status)) for row in rows],
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    template = "admin/executions/execution/cancel_selected.html"
    return TemplateResponse(request, template, context)


def _cancel(
    model_admin: ModelAdmin[Execution], request: HttpRequest, user: User, ids: Iterable[int]
) -> Counter[str]:
    """Cancel each in a transaction of its own; return how many now are what."""
    told: Counter[str] = Counter()
    for pk in ids:
        if told[LEFT]:  # somebody holds a lock: the others would wait as long
            told[LEFT] += 1
            continue
        try:
            with transaction.atomic():
                changes.cancel(user, pk)
                execution = Execution.objects.defer("config", "result").get(pk=pk)
                model_admin.log_change(request, execution, f"Cancel: {execution.status}.")
        except TransitionNotAllowed:
            told[ENDED] += 1
        except NotFound:
            told[GONE] += 1
        except OperationalError:
            told[LEFT] += 1
        else:
            told[execution.status] += 1
    return +told


def _level(told: Counter[str]) -> int:
    return messages.WARNING if told.keys() & {ENDED, GONE, LEFT} else messages.SUCCESS


def may_cancel(request: HttpRequest) -> bool:
    user: Any = request.user
    return bool(user.has_perm("executions.change_execution"))
