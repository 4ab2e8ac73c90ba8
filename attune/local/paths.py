"""Where the local stack keeps its data, and how a second process finds it.

Pure paths and one small file: settings import this before anything runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent.parent.parent
DATABASE_NAME = "attune"


@dataclass(frozen=True, slots=True)
class LocalPaths:
    """The data folder of one local stack."""

    data: Path

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def redis(self) -> Path:
        return self.data / "redis"

    @property
    def addresses(self) -> Path:
        """A JSON file with the URLs of the running (or last) stack."""
        return self.data / "local.json"

    @property
    def secret_key(self) -> Path:
        return self.data / "secret_key"

    @property
    def lock(self) -> Path:
        return self.data / "up.lock"

    def default_urls(self) -> dict[str, str]:
        """Return the URLs of the stack, or where it will be once `manage.py up` has run."""
        urls = {
            "DATABASE_URL": f"postgresql://postgres@/{DATABASE_NAME}?host={self.postgres}",
            "REDIS_URL": f"unix://{self.redis / 'redis.sock'}",
        }
        # Never started, or cut off while writing: the defaults hold in most cases.
        with contextlib.suppress(OSError, ValueError):
            urls |= json.loads(self.addresses.read_text(encoding="utf-8"))
        return urls

    def read_secret_key(self) -> str:
        """Return the stack's own key; a throw-away one before the first `up`."""
        try:
            return self.secret_key.read_text(encoding="utf-8").strip()
        except OSError:
            return secrets.token_urlsafe(64)


def local_paths() -> LocalPaths:
    """Return the data folder: `ATTUNE_DATA_DIR`, else `var/` beside `manage.py`."""
    return LocalPaths(Path(os.environ.get("ATTUNE_DATA_DIR") or PROJECT_DIR / "var").absolute())
