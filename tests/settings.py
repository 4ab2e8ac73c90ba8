"""Settings of the test run: the product's own, on servers that live in a folder of the run.

Set before the product's settings are read, and whatever the caller's environment says: a test
must never touch a database that somebody uses.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

for _name in [name for name in os.environ if name.startswith("ATTUNE_")]:
    del os.environ[_name]

FOLDER = Path(tempfile.mkdtemp(prefix="attune-test-"))
POSTGRES = FOLDER / "postgres"
REDIS = FOLDER / "redis"
os.environ |= {
    "DATABASE_URL": f"postgresql://postgres@/attune?host={POSTGRES}",
    "REDIS_URL": f"unix://{REDIS / 'redis.sock'}",
    "ATTUNE_DATA_DIR": str(FOLDER / "var"),
    "ATTUNE_SECRET_KEY": "a key for tests only, long enough for Django's own checks",
    "ATTUNE_ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
    "ATTUNE_HTTPS": "false",
    # Those who guess in one test and those who sign in in another come from one address.
    "ATTUNE_LOGIN_FAILURES_PER_ADDRESS": "1000000",
}

from attune.settings import *  # noqa: E402, F403
from attune.settings import DATABASES  # noqa: E402

TEMPLATE = "attune_template"
DATABASES["default"]["TEST"] = {"TEMPLATE": TEMPLATE}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A pool keeps connections, and its threads: no test ends with either.
del DATABASES["default"]["OPTIONS"]["pool"]
