from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection, transaction


@contextmanager
def bounded() -> Iterator[None]:
    """Run a transaction whose statements end after ATTUNE_QUERY_SECONDS, locks included.

    Raises django.db.OperationalError then, which is a 503.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            milliseconds = round(settings.ATTUNE.query_seconds * 1000)
            cursor.execute(f"SET LOCAL statement_timeout = {milliseconds}")
        yield
