"""`python -m bench.startup`: from `manage.py up` to the first event at a client.

Once in a new folder (the database is made and migrated) and again on the data it left.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psycopg

from attune.local.paths import PROJECT_DIR, LocalPaths
from attune.local.processes import spawn, stop
from bench.receivers import clock

DEMO = "demo"  # user and password that `manage.py up` makes on its own database
TARGET_SECONDS = 6.0
GIVE_UP_SECONDS = 60.0
RETRY_SECONDS = 0.02
STOP_SECONDS = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--again", type=int, default=3, help="starts on existing data")
    options = parser.parse_args()
    print("| start | ready to sign in | first event |\n|---|--:|--:|")
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="attune-startup-") as name:
        for number in range(1 + options.again):
            ready, first_event = measure(LocalPaths(Path(name) / "var"))
            what = f"again ({number})" if number else "in a new folder"
            print(f"| {what} | {ready:.2f} s | {first_event:.2f} s |", flush=True)
            slowest = max(slowest, first_event)
    print(f"\nTarget ≤ {TARGET_SECONDS:g} s: {'met' if slowest <= TARGET_SECONDS else 'MISSED'}")
    return 0


def measure(paths: LocalPaths) -> tuple[float, float]:
    """Start, make a change, receive it, stop; return both times in seconds."""
    began = clock()
    server, url = _start(paths)
    try:
        token = _sign_in(server, url, log=_log(paths))
        ready = clock() - began
        _first_event(paths, url, token)
        return ready, clock() - began
    finally:
        stop(server, seconds=STOP_SECONDS)


def _start(paths: LocalPaths) -> tuple[subprocess.Popen[bytes], str]:
    env = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    paths.data.mkdir(exist_ok=True)
    with _log(paths).open("ab") as output:
        command = [sys.executable, str(PROJECT_DIR / "manage.py"), "up", "--port", str(port)]
        child = spawn(command, env={**env, "ATTUNE_DATA_DIR": str(paths.data)}, output=output)
    return child, f"http://127.0.0.1:{port}"


def _log(paths: LocalPaths) -> Path:
    return paths.data.parent / "up.log"


def _sign_in(server: subprocess.Popen[bytes], url: str, *, log: Path) -> str:
    """Return an access token, asked for until there is one."""
    deadline = clock() + GIVE_UP_SECONDS
    while server.poll() is None and clock() < deadline:
        try:
            answer = httpx.post(
                f"{url}/api/v1/auth/token", json={"username": DEMO, "password": DEMO}
            )
        except httpx.TransportError:
            time.sleep(RETRY_SECONDS)
            continue
        return str(answer.raise_for_status().json()["access"])
    raise SystemExit(f"attune did not start:\n{log.read_text(errors='replace')}")


def _first_event(paths: LocalPaths, url: str, token: str) -> None:
    """Open a stream, insert an execution, and return once its event is there."""
    headers = {"Authorization": f"Bearer {token}"}
    database_url = json.loads(paths.addresses.read_text(encoding="utf-8"))["DATABASE_URL"]
    stream = f"{url}/api/v1/executions/stream"
    with httpx.stream("GET", stream, headers=headers, timeout=GIVE_UP_SECONDS) as response:
        lines = response.raise_for_status().iter_lines()
        next(line for line in lines if line == "event: connected")
        with psycopg.connect(database_url, autocommit=True) as conn:
            conn.execute("INSERT INTO attune.execution (action_ref) VALUES ('bench.startup')")
        next(line for line in lines if '"action_ref":"bench.startup"' in line)


if __name__ == "__main__":
    sys.exit(main())
