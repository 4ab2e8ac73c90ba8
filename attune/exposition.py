"""What has been counted, in the words of Prometheus, and who may read it.

Each process counts for itself. Where PROMETHEUS_MULTIPROC_DIR names a folder, processes of one
machine keep their figures there, and each of them answers for all. What a process that has
ended has counted stays; what it was (streams, buffers) goes with it.

Modules that make metrics take the modes from here, so that this one comes first.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

import psutil
from django.conf import settings
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE = CONTENT_TYPE_LATEST
# What becomes of a gauge when several processes share a folder.
SUM: Final = "livesum"
MOST: Final = "livemax"
NEWEST: Final = "livemostrecent"
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# A file is made a moment after its process; and clocks of files are coarse.
_SLACK_SECONDS = 1.0


def text() -> bytes:
    """Return the metrics of this process, or of all that share its folder."""
    if _FOLDER not in os.environ:
        return generate_latest(REGISTRY)
    forget_the_dead()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def labelled(counter: Counter, values: Iterable[str]) -> Counter:
    """Return the counter, which shows 0 for each of these values of its label from the start."""
    for value in values:
        counter.labels(value)
    return counter


def forget_the_dead() -> None:
    """Let go of the gauges of processes that have ended, however they did."""
    for file in Path(os.environ[_FOLDER]).glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdigit() and not _wrote(int(pid), file):
            mark_process_dead(int(pid))  # type: ignore[no-untyped-call]


def _wrote(pid: int, file: Path) -> bool:
    """Say whether it is this process, and none of before with its number, that made the file."""
    try:
        began = psutil.Process(pid).create_time()
        return bool(file.stat().st_mtime > began - _SLACK_SECONDS)
    except (psutil.Error, OSError):
        return False


def refusal(headers: Mapping[str, str], address: str) -> tuple[int, str] | None:
    """Return the status and the reason why this request may not read the metrics, or None.

    `headers` by their names in small letters; `address` of who is at the other end of the
    connection, "" for a Unix socket. Without a token of its own, `/metrics` is for this machine
    only, and not for what a proxy on it passes on.
    """
    token = settings.METRICS_TOKEN
    if token:
        shown = headers.get("authorization", "").encode()
        if hmac.compare_digest(shown, f"Bearer {token}".encode()):
            return None
        return 401, "The metrics take ATTUNE_METRICS_TOKEN as a bearer token."
    is_passed_on = "x-forwarded-for" in headers or "forwarded" in headers
    if not is_passed_on and _is_local(address):
        return None
    return 403, "The metrics are for this machine only; set ATTUNE_METRICS_TOKEN to read them."


def _is_local(address: str) -> bool:
    if not address:
        return True
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def _begin() -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    if _FOLDER in os.environ:
        Path(os.environ[_FOLDER]).mkdir(parents=True, exist_ok=True)
        # One of before may have had our number.
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
        forget_the_dead()


_begin()
