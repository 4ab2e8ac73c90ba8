"""A fuzz run over a stack of its own, and what has to hold of the processes afterwards."""

from __future__ import annotations

import asyncio

import httpx
import psutil

from tests.fuzz.cases import Cases
from tests.fuzz.run import Outcome, fuzz
from tests.rows import add_execution
from tests.servers import Stack, wait_for

# Requests that never end are a part of it, so they have to be cut soon.
ENV = {"ATTUNE_REQUEST_SECONDS": "1", "ATTUNE_STREAMS_PER_USER": "100"}
GROWTH_BYTES = 64 * 1024 * 1024
MOST_FILES = 100
HIDDEN = "hiddenpack"


def fuzz_stack(stack: Stack, *, seed: int, count: int) -> Outcome:
    """Send `count` requests made from `seed`; what they leave behind is a fault, too."""
    with stack.sql() as conn:
        conn.execute(
            "INSERT INTO attune.pack (ref, restricted) VALUES (%s, true)"
            " ON CONFLICT (ref) DO NOTHING",
            [HIDDEN],
        )
        add_execution(conn, f"{HIDDEN}.run")
        execution = add_execution(conn, status="running")
    token = stack.token()
    web = psutil.Process(stack.processes["web"].pid)
    cases = Cases(seed, token=token, execution=execution)
    secrets = [stack.env["ATTUNE_SECRET_KEY"], HIDDEN, token.rpartition(".")[2]]
    # The first ones make a process grow to its size.
    warm = asyncio.run(fuzz(stack.web_port, cases, count=min(count, 500), secrets=secrets))
    before = web.memory_info().rss
    outcome = asyncio.run(fuzz(stack.web_port, cases, count=count, secrets=secrets))
    outcome.faults += warm.faults
    wait_for(lambda: stack.metric("attune_streams") == 0, "every stream to be freed")
    wait_for(lambda: web.num_fds() < MOST_FILES, "connections to be freed")
    grown = web.memory_info().rss - before
    if grown > GROWTH_BYTES:
        outcome.faults.append(f"memory has grown by {grown:,} bytes")
    if httpx.get(f"{stack.url}/readyz").status_code != 200:
        outcome.faults.append("not ready any more")
    log = stack.processes["web"].output
    for text in ("Traceback", "never retrieved", "never awaited", *secrets):
        if text in log:
            place = log.index(text)
            outcome.faults.append(f"in the log: {log[max(0, place - 500) : place + 8000]}")
    return outcome
