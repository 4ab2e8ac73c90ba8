"""How long to wait before the next attempt. Pure."""

from __future__ import annotations

from collections.abc import Callable

FIRST_SECONDS = 2.0  # until the server says otherwise
# A server that has been away for an hour is met again within half a minute.
MOST_SECONDS = 30.0
# What a server may ask for.
MOST_ASKED_SECONDS = 300.0


class Backoff:
    """Doubles from the server's `retry:`, up to MOST_SECONDS, and strews by half.

    `random` returns numbers from 0 to 1.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._base = FIRST_SECONDS
        self._failures = 0

    def connected(self, retry_milliseconds: int | None) -> None:
        """Begin anew: a connection stands, and this is the server's `retry:`."""
        self._failures = 0
        if retry_milliseconds is not None:
            self._base = min(retry_milliseconds / 1000, MOST_SECONDS)

    def next(self, asked_seconds: float | None = None) -> float:
        """Return the seconds to wait; `asked_seconds` is what the server asked for this time."""
        if asked_seconds is not None:
            # Never earlier than asked, and not all in the same moment.
            asked = min(asked_seconds, MOST_ASKED_SECONDS)
            return asked * (1 + self._random() / 4)
        seconds = min(self._base * 2.0 ** min(self._failures, 16), MOST_SECONDS)
        self._failures += 1
        return seconds * (0.5 + self._random() / 2)
