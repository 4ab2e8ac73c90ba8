"""What a process loads when it starts: half of a second each for what only another one needs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.servers import PROJECT


def run(*args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "attune.settings"}
    return subprocess.run(
        [sys.executable, *args], env=env, cwd=PROJECT, check=True, capture_output=True, text=True
    )


LOADED = """
import atexit, sys, manage
atexit.register(lambda: print("loaded:", *sys.modules))
manage.main()
"""


@pytest.mark.parametrize("command", ["runworker", "watch", "track"])
def test_a_command_loads_neither_a_web_server_nor_pages(command: str) -> None:
    _, _, said = run("-c", LOADED, command, "--help").stdout.partition("loaded:")
    loaded = {*said.split()}
    assert "executions.models" in loaded
    assert not loaded & {"twisted", "uvicorn", "executions.admin", "attune.urls"}


@pytest.mark.parametrize(("server", "other"), [("uvicorn", "twisted"), ("daphne", "uvicorn")])
def test_a_web_process_loads_its_own_server_and_all_pages(server: str, other: str) -> None:
    code = f"import sys, {server}, attune.asgi; print(*sys.modules)"
    loaded = run("-c", code).stdout.split()
    assert {server, "executions.admin", "executions.api.urls", "attune.accounts.openapi"} <= {
        *loaded
    }
    assert other not in loaded


def test_runserver_is_the_asgi_server_of_daphne() -> None:
    assert "--noasgi" in run("manage.py", "runserver", "--help").stdout
