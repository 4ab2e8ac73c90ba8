"""Programs that tests drive and that no wheel brings: Debian's `nodejs` and `chromium`."""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str) -> str:
    """Return its path. Without it the test is skipped; with REQUIRE_PROGRAMS set, it fails."""
    found = shutil.which(name)
    if found is None:
        missing = pytest.fail if os.environ.get("REQUIRE_PROGRAMS") else pytest.skip
        missing(f"needs {name}: apt-get install chromium nodejs")
    assert found is not None
    return found
