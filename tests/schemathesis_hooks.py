"""For `tests/acceptance/test_openapi.py`: what schemathesis is to send, and what not."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlencode

import schemathesis

# daphne closes the connection on a longer line; the product is not asked.
URL_BYTES = 8_000


@schemathesis.hook
def filter_query(context: Any, query: dict[str, Any] | None) -> bool:
    return len(urlencode(query or {}, doseq=True)) < URL_BYTES


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Have every stream end, by waiting for an execution that has; and somebody sign in.

    What is wrong on purpose stays so.
    """
    is_wrong = case.meta is not None and case.meta.generation.mode.is_negative
    operation = (case.method, case.operation.path)
    if operation == ("GET", "/api/v1/executions/stream"):
        ending = {"execution_id": os.environ["FINISHED_EXECUTION"], "until": "terminal"}
        case.query = ending | case.query if is_wrong else case.query | ending
    elif operation == ("POST", "/api/v1/auth/token") and not is_wrong:
        case.body = {"username": "alice", "password": "secret"}
