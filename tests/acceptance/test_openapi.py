"""The API is what its OpenAPI description says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver

from executions.api.views import Unknown
from tests.rows import add_execution
from tests.servers import PROJECT, Stack

# In two parts, so that they may run beside each other.
PARTS = {
    "executions": r"^/api/v1/executions(?!/stream)",
    "the rest": r"^/api/v1/(?!executions)|/stream",
}
# A valid request may name an action that is none.
EXCLUDED = "positive_data_acceptance"


@pytest.mark.parametrize("part", PARTS)
def test_it_does_what_it_says(stack: Stack, tmp_path: Path, part: str) -> None:
    """Requests made up from the description, right and wrong ones, by schemathesis.

    Of every endpoint. Each stream ends by itself, see `tests/schemathesis_hooks.py`: covered are
    its parameters, its answers and the frames up to `end`; what a live one sends is not.
    """
    with stack.sql() as conn:
        for _ in range(20):
            add_execution(conn)
        finished = add_execution(conn, status="completed")
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{stack.url}/api/v1/schema"]
    command += ["--header", f"Authorization: Bearer {stack.token()}", "--no-color"]
    command += ["--include-path-regex", PARTS[part], "--exclude-checks", EXCLUDED]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "10"]
    command += ["--warnings", "off", "--request-timeout", "10"]
    env = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.schemathesis_hooks",
        "FINISHED_EXECUTION": str(finished),
        "PYTHONPATH": str(PROJECT),
    }
    ran = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_it_describes_every_endpoint_and_every_method_of_it(client: Client) -> None:
    paths = client.get("/api/v1/schema").json()["paths"]
    described = {
        (re.sub(r"{\w+}", "1", path), method.upper()) for path in paths for method in paths[path]
    }
    routed = {
        (path, method)
        for path, callback in routes(get_resolver().url_patterns)
        if path.startswith("/api/")
        for method in methods(callback)
    }
    assert ("/api/v1/executions/1/cancel", "POST") in routed
    assert routed <= described


def routes(patterns: list[Any], prefix: str = "/") -> Iterator[tuple[str, Any]]:
    """Return every path, with 1 for what varies, and the view behind it."""
    for pattern in patterns:
        text = re.sub(r"\(\?P<\w+>[^)]*\)", "1", str(pattern.pattern))
        path = prefix + text.removeprefix("^").removesuffix("\\Z").removesuffix("$")
        if hasattr(pattern, "url_patterns"):
            yield from routes(pattern.url_patterns, path)
        else:
            yield path.removesuffix("/?"), pattern.callback


def methods(callback: Any) -> set[str]:
    """Return the methods that a view takes, as far as it describes any."""
    view = getattr(callback, "cls", None)
    if view is None:
        return {"GET"}  # the stream
    if view is Unknown:
        return set()
    actions = getattr(callback, "actions", None) or {
        method: method for method in view.http_method_names if hasattr(view, method)
    }
    return {method.upper() for method in actions} - {"HEAD", "OPTIONS"}
