"""`/healthz`, `/readyz` and `/metrics` of a web process, and the same of a worker.

Answered before Django sees them: whoever balances load asks by an address that is in no
ATTUNE_ALLOWED_HOSTS, over plain HTTP, and wants an answer also when every thread is taken. None
of them reads what the client has sent, but for the credential of `/metrics`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from attune import exposition
from executions import errors
from executions.errors import Code
from streaming import metrics
from streaming.checks import Report
from streaming.gauges import DatabaseGauges

logger = logging.getLogger("attune.probes")

_JSON = "application/json"
_CODES = {401: Code.AUTHENTICATION_FAILED, 403: Code.PERMISSION_DENIED}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": _JSON})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as it matters; names of headers in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    address: str  # of the other end, "" for a Unix socket


class Process(Protocol):
    """What there is to ask a process for."""

    async def report(self) -> Report: ...

    async def gauges(self) -> DatabaseGauges: ...


async def answer(asked: Asked, process: Process) -> Answer | None:
    """Return what a probe is answered; None where this is none."""
    try:
        return await _answer(asked, process)
    except Exception:  # the top of a request
        logger.exception("action=probe path=%s", asked.path)
        return _json(500, errors.body("See the log of this process.", Code.ERROR))


async def _answer(asked: Asked, process: Process) -> Answer | None:
    if asked.path not in ("/healthz", "/readyz", "/metrics"):
        return None
    if asked.method not in ("GET", "HEAD"):
        body = errors.body("A probe is read with GET.", Code.METHOD_NOT_ALLOWED)
        return _json(405, body, {"Allow": "GET, HEAD"})
    if asked.path == "/healthz":
        return _json(200, {"status": "ok"})
    if asked.path == "/metrics":
        return await _metrics(asked, process)
    report = await process.report()
    return _json(200 if report.ready else 503, report.as_json())


async def _metrics(asked: Asked, process: Process) -> Answer:
    refusal = exposition.refusal(asked.headers, asked.address)
    if refusal is not None:
        status, why = refusal
        challenge = {"WWW-Authenticate": 'Bearer realm="metrics"'} if status == 401 else {}
        return _json(status, errors.body(why, _CODES[status]), challenge)
    await (await process.gauges()).refresh()
    metrics.TASKS.set(len(asyncio.all_tasks()))
    return Answer(200, exposition.text(), {"Content-Type": exposition.CONTENT_TYPE})


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Content-Type": _JSON, **(headers or {})})
