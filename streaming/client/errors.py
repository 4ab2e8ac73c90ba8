"""What may go wrong for good. What passes (a lost connection, a server that restarts) is
waited for instead, and told as `Waiting`."""

from __future__ import annotations


class AttuneError(Exception):
    """The stream cannot go on. The text says why, for a person to read."""


class BadRequest(AttuneError):
    """The server does not take the query (400): it names the parameter."""


class AccessDenied(AttuneError):
    """No token, or one that the server refuses, and no new one to be had (401, 403)."""


class NotFound(AttuneError):
    """The execution does not exist, or is not for this user (404): the same answer."""


class StreamClosed(AttuneError):
    """The server ended the stream for good: `reason` is `token_expired` or `revoked`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the server closed the stream: {reason}")
        self.reason = reason


class HistoryLost(AttuneError):
    """Events were missed and cannot be told, and nobody said what to do then: `on_reset`."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"events were missed ({reason}): the state has to be fetched anew;"
            " give on_reset, or ask for snapshot=True"
        )
        self.reason = reason


class ProtocolError(AttuneError):
    """What came is not what attune's stream sends: a wrong address, most of the time."""
