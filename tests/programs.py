"""Programs that tests drive and that no wheel brings: Debian's packages."""

from __future__ import annotations

import os
import shutil

import pytest

# Where the package has another name than the program.
PACKAGES = {
    "node": "nodejs",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
    "ip": "iproute2",
}
# Debian keeps servers out of the path of who is not root.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


def program(name: str) -> str:
    """Return its path. Without it the test is skipped; with REQUIRE_PROGRAMS set, it fails."""
    found = shutil.which(name, path=PATH)
    if found is None:
        missing = pytest.fail if os.environ.get("REQUIRE_PROGRAMS") else pytest.skip
        missing(f"needs {name}: apt-get install {PACKAGES.get(name, name)}")
    assert found is not None
    return found
