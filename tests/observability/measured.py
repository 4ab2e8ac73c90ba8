"""A web process and a worker whose metrics can be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.servers import Stack, add_user, free_port, product_env, wait_for


@dataclass
class Measured:
    stack: Stack
    worker_url: str

    def read(self, process: str, path: str = "/metrics", **headers: str) -> httpx.Response:
        """Ask the process, `web` or `worker`."""
        url = self.stack.url if process == "web" else self.worker_url
        return httpx.get(f"{url}{path}", headers=headers, timeout=10)

    def value(self, process: str, name: str, **labels: str) -> float:
        """Return a sample; of a histogram ask for `…_count`."""
        return sample(self.read(process).text, name, **labels)


def sample(text: str, name: str, **labels: str) -> float:
    found = [s for family in parse(text) for s in family.samples if s.name == name]
    return next(s.value for s in found if labels.items() <= s.labels.items())


@contextmanager
def measured_on(database_url: str, folder: Path, **env: str) -> Iterator[Measured]:
    """Run it on the database for as long as the context lasts."""
    address = f"127.0.0.1:{free_port()}"
    add_user(database_url, "alice")
    stack = Stack(database_url, folder, product_env(database_url) | env)
    try:
        stack.start_worker(ATTUNE_WORKER_METRICS=address)
        stack.start_web(server="uvicorn")
        stack.wait_ready()
        measured = Measured(stack, f"http://{address}")
        wait_for(lambda: measured.read("worker", "/readyz").is_success, "the worker to be ready")
        yield measured
    finally:
        stack.stop()
