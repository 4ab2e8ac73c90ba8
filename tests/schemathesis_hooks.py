"""For `tests/acceptance/test_openapi.py`: what schemathesis is not to send."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import schemathesis

# daphne closes the connection on a longer line; the product is not asked.
URL_BYTES = 8_000


@schemathesis.hook
def filter_query(context: Any, query: dict[str, Any] | None) -> bool:
    return len(urlencode(query or {}, doseq=True)) < URL_BYTES
