"""REST requests beside it all: lists, one execution, statistics, tickets, tokens."""

from __future__ import annotations

import random
import threading
from collections import Counter
from types import TracebackType

import httpx

from bench.faults.system import System

# What a client may be told while something is away; 401 never, its token is renewed in time.
ALLOWED = {200, 201, 503}
AWAY = "no answer"  # the process is being killed, stopped or started
PATHS = (
    "executions",
    "executions?status=running&page_size=20",
    "executions/{execution}",
    "executions/{execution}/events",
    "executions/stats",
    "packs",
)


class Requests:
    """A thread that asks for one thing after the other; `answers` counts what came back."""

    def __init__(self, system: System, pinned: list[int], *, rate: float, seed: int):
        self.answers: Counter[str] = Counter()
        self.token = ""
        self._system = system
        self._pinned = pinned
        self._pause = 1 / rate
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="requests")

    def __enter__(self) -> Requests:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def wrong(self) -> dict[str, int]:
        """Answers that nobody should get, by path and status."""
        allowed = {str(status) for status in ALLOWED} | {AWAY}
        return {what: n for what, n in self.answers.items() if what.split(": ")[-1] not in allowed}

    def _run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._stop.wait(self._pause):
                self._ask(client)

    def _ask(self, client: httpx.Client) -> None:
        base = "http://{}:{}/api/v1/".format(*self._random.choice(self._system.addresses))
        headers = {"Authorization": f"Bearer {self.token}"}
        path = self._random.choice([*PATHS, "executions/stream/ticket", "auth/token"])
        url = base + path.format(execution=self._random.choice(self._pinned))
        try:
            if path == "auth/token":
                answer = client.post(url, json={"username": "all", "password": "secret"})
            elif path.endswith("ticket"):
                answer = client.post(url, headers=headers)
            else:
                answer = client.get(url, headers=headers)
        except httpx.HTTPError:
            self.answers[f"{path}: {AWAY}"] += 1
        else:
            self.answers[f"{path}: {answer.status_code}"] += 1
