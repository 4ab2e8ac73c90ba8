"""The ASGI entry point: what is refused or blotted out, static files, probes, streams, Django."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "attune.settings")
_django = get_asgi_application()

# These need the apps to be loaded; the pages, so that no request waits for them.
import attune.urls  # noqa: E402, F401
from attune.accesslog import hide_secrets  # noqa: E402
from attune.logs import take_over_uvicorn  # noqa: E402
from attune.requests import with_request_ids  # noqa: E402
from attune.sizes import bounded_bodies, bounded_heads  # noqa: E402
from attune.slowness import guard_servers  # noqa: E402
from attune.static import static_files  # noqa: E402
from streaming.asgi import is_for_stream, with_probes, with_streams  # noqa: E402

take_over_uvicorn()
_limits = settings.ATTUNE
# Of web processes only: a migration may take its time. Waiting for a lock is included.
_milliseconds = round(_limits.query_seconds * 1000)
settings.DATABASES["default"]["OPTIONS"]["options"] += f" -c statement_timeout={_milliseconds}"

guard_servers(seconds=_limits.request_seconds, head_bytes=2 * _limits.header_bytes)
_app = with_streams(bounded_bodies(_django, _limits))
_app = bounded_heads(static_files(with_probes(_app)), _limits)
# hide_secrets outermost: it looks for the server's own objects behind `send`, as streams do.
application = hide_secrets(with_request_ids(_app, answers_itself=is_for_stream))
