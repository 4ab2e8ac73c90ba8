from __future__ import annotations

from django.http import HttpRequest


def is_same_origin(request: HttpRequest) -> bool:
    """Say whether a browser sent this from a page of ours, or from its address bar.

    A cookie comes along whoever makes the browser ask; these headers say who, and no page can
    set them. What sends neither is no browser of today, or is on plain HTTP, where SameSite
    keeps the cookie away from others.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    ours = f"{request.scheme}://{request.get_host()}"
    return site in ("same-origin", "none") and request.headers.get("Origin", ours) == ours
