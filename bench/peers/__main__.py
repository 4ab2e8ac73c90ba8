"""`python -m bench.peers`: get the peers that are missing, without changing the system.

What cannot be got is said, and missing in the comparison.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from bench.peers import nchan, pythons


def main() -> int:
    wanted: dict[str, tuple[bool, Callable[[], None]]] = {
        "nchan": (nchan.find() is not None, nchan.install),
        "the Python peers": (
            all(pythons.has(p.module) for p in pythons.PROGRAMS if p.module),
            pythons.install,
        ),
    }
    failed = 0
    for name, (is_here, install) in wanted.items():
        if is_here:
            continue
        print(f"getting {name}", flush=True)
        try:
            install()
        except (OSError, subprocess.CalledProcessError) as exc:
            print(f"{name}: not to be had here: {exc}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
