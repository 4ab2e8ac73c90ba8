"""Sends made-up requests to a running server, and looks at what comes back."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field

from tests.fuzz.cases import MARK, Case, Cases

ANSWER_SECONDS = 15.0
CLIENTS = 64
# What no answer may tell: where an error was, and what the server knows.
_LEAKS = (b"Traceback", b"psycopg", b"django.", b"site-packages", b"SELECT ", MARK.encode())


@dataclass
class Outcome:
    """How the requests were answered, by status; 0: cut without an answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def note(self, case: Case, fault: str) -> None:
        self.faults.append(f"{fault}\n  {case.data[:2000]!r}")


async def fuzz(port: int, cases: Cases, *, count: int, secrets: list[str]) -> Outcome:
    """Send `count` requests, some at a time; every fault is noted with its request."""
    outcome = Outcome()
    forbidden = [*_LEAKS, *(secret.encode() for secret in secrets)]
    left = iter(range(count))

    async def client() -> None:
        for _ in left:
            case = cases.next()
            try:
                answer = await asyncio.wait_for(_ask(port, case.data), ANSWER_SECONDS)
            except TimeoutError:
                outcome.note(case, "no answer")
                continue
            _judge(outcome, case, answer, forbidden)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return outcome


async def _ask(port: int, data: bytes) -> bytes:
    """Return all that comes back; of a stream, its beginning."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        writer.write(data)
        while chunk := await reader.read(65_536):
            received += chunk
            if b"text/event-stream" in received and b"event: connected" in received:
                break
    except ConnectionError:
        return received  # the server has cut it
    finally:
        writer.transport.abort()
    return received


def _judge(outcome: Outcome, case: Case, answer: bytes, forbidden: list[bytes]) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0
    outcome.statuses[status] += 1
    if status == 0 and case.is_whole and answer:
        outcome.note(case, f"not HTTP: {answer[:200]!r}")
    if status >= 500 and status != 503:
        outcome.note(case, f"{status}: {body[:500]!r}")
    for text in forbidden:
        # What was sent may be quoted, in a body that is no page; never as a header.
        if text in head or (text in body and text not in case.data and text != MARK.encode()):
            outcome.note(case, f"tells {text!r}: {answer[:1000]!r}")
    if status == 200 and b"text/event-stream" in head and f"event: {MARK}".encode() in body:
        outcome.note(case, f"a frame of the client's making: {body[:500]!r}")
    if status >= 400 and b"application/json" in head.lower() and body:
        _judge_error(outcome, case, head, body)


def _judge_error(outcome: Outcome, case: Case, head: bytes, body: bytes) -> None:
    if b"chunked" in head.lower():
        return
    try:
        error = json.loads(body)
        assert error["detail"] and error["code"]
    except (ValueError, KeyError, TypeError, AssertionError):
        outcome.note(case, f"no error of ours: {body[:500]!r}")
