"""django-eventstream, events sent from within the process: its fastest documented way.

No storage: what a listener with ten pending events cannot take is lost, and counted as such.
"""

from __future__ import annotations

import secrets

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

settings.configure(
    SECRET_KEY=secrets.token_urlsafe(),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django_eventstream"],
    DATABASES={},
)
django.setup()

import django_eventstream  # noqa: E402


async def publish(request: HttpRequest) -> HttpResponse:
    for line in request.body.decode().splitlines():
        django_eventstream.send_event("bench", "message", line, json_encode=False)
    return HttpResponse(status=204)


urlpatterns = [
    path("stream", include(django_eventstream.urls), {"channels": ["bench"]}),
    path("publish", publish),
]
application = get_asgi_application()
