"""The product as it is deployed, on servers of its own in a temporary folder."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attune.local.postgres import EmbeddedPostgres
from attune.local.redis import EmbeddedRedis
from tests.servers import PROJECT, Stack, product_env, running_stack

DATABASE = "attune"


@contextmanager
def bench_stack(
    *, server: str = "uvicorn", env: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Run PostgreSQL (with its own defaults, so every commit is on disk), Redis, a worker and
    a web server for as long as the context lasts; `ATTUNE_…` of the environment apply, and
    `env` on top.
    """
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as name, ExitStack() as servers:
        folder = Path(name)
        postgres = EmbeddedPostgres(folder / "postgres")
        redis = EmbeddedRedis(folder / "redis")
        servers.callback(postgres.stop)
        servers.callback(redis.close)
        postgres.start()
        redis.start()
        postgres.create_database(DATABASE)
        settings = {
            "REDIS_URL": redis.url,
            "ATTUNE_DATA_DIR": str(folder / "var"),
            "ATTUNE_SECRET_KEY": secrets.token_urlsafe(64),
            "ATTUNE_ALLOWED_HOSTS": "127.0.0.1",
            "ATTUNE_HTTPS": "false",
            # All of the load comes from one user and one address.
            "ATTUNE_STREAMS_PER_USER": "0",
            "ATTUNE_STREAMS_PER_ADDRESS": "0",
            **(env or {}),
        }
        servers.enter_context(added_environment(settings))
        url = postgres.url(DATABASE)
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            env=product_env(url),
            cwd=PROJECT,
            check=True,
        )
        yield servers.enter_context(running_stack(url, folder / "stack", server=server))


@contextmanager
def added_environment(more: Mapping[str, str]) -> Iterator[None]:
    """Add to the environment, and put it back: the next stack has settings of its own."""
    before = dict(os.environ)
    os.environ |= more
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before
