"""The ASGI entry point: static files, everything else to Django."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "attune.settings")
_django = get_asgi_application()

# These need the apps to be loaded.
from django.conf import settings  # noqa: E402

from attune.static import static_files  # noqa: E402
from streaming.asgi import with_streams  # noqa: E402

# Of web processes only: a migration may take its time. Waiting for a lock is included.
_milliseconds = round(settings.ATTUNE.query_seconds * 1000)
settings.DATABASES["default"]["OPTIONS"]["options"] += f" -c statement_timeout={_milliseconds}"

application = static_files(with_streams(_django))
