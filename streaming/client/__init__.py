"""A client for attune's stream of executions: resumes, and never leaves a gap without a word.

    from streaming.client import Client, PasswordTokens, Query

    url = "http://127.0.0.1:8080"
    with Client(url, PasswordTokens(url, "demo", "demo")) as client:
        for event in client.events(Query(root=12, snapshot=True, until_terminal=True)):
            print(event.execution.id, event.execution.status)

Needs httpx and nothing of Django or of attune: the folder can be copied into another project,
under any name.
"""

from .client import AsyncClient, Client, Stream
from .errors import (
    AccessDenied,
    AttuneError,
    BadRequest,
    HistoryLost,
    NotFound,
    ProtocolError,
    StreamClosed,
)
from .messages import (
    TERMINAL,
    Connected,
    End,
    Event,
    Execution,
    Message,
    Reset,
    Snapshot,
    Waiting,
)
from .query import Query
from .stream import AsyncEvents, AsyncMessages
from .tokens import PasswordTokens, TokenProvider

__all__ = [
    "TERMINAL",
    "AccessDenied",
    "AsyncClient",
    "AsyncEvents",
    "AsyncMessages",
    "AttuneError",
    "BadRequest",
    "Client",
    "Connected",
    "End",
    "Event",
    "Execution",
    "HistoryLost",
    "Message",
    "NotFound",
    "PasswordTokens",
    "ProtocolError",
    "Query",
    "Reset",
    "Snapshot",
    "Stream",
    "StreamClosed",
    "TokenProvider",
    "Waiting",
]
