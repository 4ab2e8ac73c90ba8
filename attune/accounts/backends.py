from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest

from attune.accounts import metrics, throttling
from attune.accounts.addresses import client_address


class ThrottledBackend(ModelBackend):
    """Django's, for every place where one signs in: API, admin and pages; not too often."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """Return the user whose password this is; raises rest_framework's Throttled."""
        if request is None or username is None:  # no client, but a program of ours
            return super().authenticate(request, username, password, **kwargs)
        attempt = throttling.begin(username, client_address(request.META))
        user = super().authenticate(request, username, password, **kwargs)
        if user is not None:
            attempt.succeeded()
        else:
            metrics.FAILURES.labels("password").inc()
        return user

    async def aauthenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        check = sync_to_async(self.authenticate)
        return await check(request, username=username, password=password, **kwargs)
