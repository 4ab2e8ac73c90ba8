"""The servers of the local stack that are not given from outside."""

from __future__ import annotations

import json
import os
import secrets
from types import TracebackType

from attune.local.errors import LocalStackError
from attune.local.paths import DATABASE_NAME, LocalPaths
from attune.local.postgres import EmbeddedPostgres, embedded_program
from attune.local.redis import EmbeddedRedis


class LocalStack:
    """PostgreSQL and Redis over one data folder; each only where no URL is set for it."""

    def __init__(self, paths: LocalPaths) -> None:
        self.paths = paths
        self.urls: dict[str, str] = {}
        self._postgres = (
            None if os.environ.get("DATABASE_URL") else EmbeddedPostgres(paths.postgres)
        )
        self._redis = None if os.environ.get("REDIS_URL") else EmbeddedRedis(paths.redis)

    @property
    def own_database(self) -> bool:
        return self._postgres is not None

    @property
    def psql(self) -> str:
        """The command that opens the database in a terminal."""
        if self._postgres is None:
            return 'psql "$DATABASE_URL"'
        return f"{embedded_program('psql')} '{self.urls['DATABASE_URL']}'"

    def start(self) -> None:
        """Start what is ours, and write down where it is; raises LocalStackError."""
        try:
            if self._redis is not None:
                self._redis.start()
                self.urls["REDIS_URL"] = self._redis.url
            self._keep_secret_key()
            if self._postgres is not None:
                self._postgres.start()
                self._postgres.create_database(DATABASE_NAME)
                self.urls["DATABASE_URL"] = self._postgres.url(DATABASE_NAME)
            self.paths.addresses.write_text(json.dumps(self.urls), encoding="utf-8")
        except OSError as exc:
            raise LocalStackError(f"cannot use {self.paths.data}: {exc}") from exc

    def stop(self) -> None:
        if self._redis is not None:
            self._redis.close()
        if self._postgres is not None:
            self._postgres.stop()

    def __enter__(self) -> LocalStack:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _keep_secret_key(self) -> None:
        """Write the stack's secret key at its first start; the settings read it."""
        try:
            handle = os.open(self.paths.secret_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(64))
