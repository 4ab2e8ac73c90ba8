from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import Throttled


class SignInThrottled:
    """Answers 429 where somebody signs in by a form too often; the API does so by itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, Throttled):
            return None
        seconds = str(getattr(exception, "wait", 0))
        return HttpResponse(
            f"Too many wrong passwords. Try again in {seconds} seconds.",
            status=429,
            content_type="text/plain; charset=utf-8",
            headers={"Retry-After": seconds},
        )
