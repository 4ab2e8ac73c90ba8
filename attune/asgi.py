"""The ASGI entry point: static files, everything else to Django."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "attune.settings")
_django = get_asgi_application()

from attune.static import static_files  # noqa: E402 - needs the apps to be loaded

application = static_files(_django)
