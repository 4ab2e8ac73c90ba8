"""Changes on a schedule that is fixed in advance: open loop.

Each change carries the moment it was due, and its latency counts from there. So a stall, of
the writer or of what it writes to, is counted for every change that it delays.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

TICK_SECONDS = 0.01  # above 100 changes a second, several are due at once


@dataclass(frozen=True, slots=True)
class Published:
    """`late_seconds`: the most that a tick began after its time."""

    changes: int
    seconds: float
    late_seconds: float


def ticks(rate: float, seconds: float) -> list[tuple[float, int]]:
    """Return when, from the start, how many changes are due. Pure."""
    step = max(TICK_SECONDS, 1 / rate)
    count = max(1, round(seconds / step))
    done, plan = 0, []
    for number in range(count):
        due = round((number + 1) * step * rate)
        plan.append((number * step, due - done))
        done = due
    return plan


def run(
    publish: Callable[[int, int], None],
    *,
    rate: float,
    seconds: float,
    give_up_seconds: float = 3.0,
    stop: threading.Event | None = None,
) -> Published:
    """Call `publish(due, changes)` as planned, or until `stop`; `due` in ns of CLOCK_MONOTONIC.

    Stops `give_up_seconds` after the planned end, done or not: what was not published then
    shows as a rate that was not reached.
    """
    began = time.monotonic()
    changes, late = 0, 0.0
    for offset, count in ticks(rate, seconds):
        if stop is not None and stop.is_set():
            return Published(changes, time.monotonic() - began, late)
        wait = began + offset - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        elif time.monotonic() - began > seconds + give_up_seconds:
            break
        late = max(late, -wait)
        publish(int((began + offset) * 1e9), count)
        changes += count
    left = began + seconds - time.monotonic()
    if left > 0:
        time.sleep(left)  # the last tick's part of the time
    return Published(changes, time.monotonic() - began, late)
